/** Looking inside: the serial log and the domain as libvirt has it. */
import { RefreshCw, ScrollText } from "lucide-preact";
import { read } from "../../api/call.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Vm } from "../../api/types.ts";
import { type Query, useQuery } from "../../api/use.ts";
import { Button } from "../../components/button.tsx";
import { EmptyState, ErrorState, Skeleton } from "../../components/feedback.tsx";
import { CodeBlock, Stack } from "../../components/layout.tsx";
import { formatBytes } from "../../lib/format.ts";
import { stripTerminalCodes } from "../../lib/terminal-text.ts";
import { common } from "../../strings/common.ts";
import { vm as t } from "../../strings/vm.ts";

const tailBytes = 256 * 1024;

export function LogTab({ vm }: { vm: Vm }) {
	const obstacle = obstacleTo("vmSerialLogGet");
	const log = useQuery(vm.id, async (signal) =>
		obstacle
			? ""
			: stripTerminalCodes(await read("vmSerialLogGet", { id: vm.id, query: { maxBytes: tailBytes }, signal })),
	);
	if (obstacle) return <EmptyState icon={ScrollText} title={t.tabs.log} text={obstacle} />;
	return (
		<Stack>
			<Bar text={`${t.log.text} ${t.log.tail(formatBytes(tailBytes))}`} query={log} />
			<Answer query={log} empty={t.log.empty} label={t.log.label} atEnd />
		</Stack>
	);
}

export function XmlTab({ vm }: { vm: Vm }) {
	const obstacle = obstacleTo("vmDomainXmlGet");
	const xml = useQuery(`${vm.id}-${vm.generation}`, async (signal) =>
		obstacle ? "" : read("vmDomainXmlGet", { id: vm.id, signal }),
	);
	if (obstacle) return <EmptyState icon={ScrollText} title={t.tabs.xml} text={obstacle} />;
	return (
		<Stack>
			<Bar text={t.xml.text} query={xml} />
			<Answer query={xml} empty={t.xml.absent} label={t.xml.label} />
		</Stack>
	);
}

function Bar({ text, query }: { text: string; query: Query<string> }) {
	return (
		<div class="inspect-bar">
			<span class="muted">{text}</span>
			<Button small icon={RefreshCw} busy={query.loading} onClick={query.reload}>
				{common.reload}
			</Button>
		</div>
	);
}

type AnswerProps = { query: Query<string>; empty: string; label: string; atEnd?: boolean };

function Answer({ query, empty, label, atEnd = false }: AnswerProps) {
	if (query.error) return <ErrorState error={query.error} onRetry={query.reload} />;
	if (query.data === undefined) return <Skeleton lines={8} />;
	if (query.data.trim() === "") return <EmptyState icon={ScrollText} title={empty} />;
	return <CodeBlock text={query.data} label={label} tall atEnd={atEnd} />;
}
