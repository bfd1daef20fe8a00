/** "Look for …": what a storage server offers, to choose from. */
import { Search } from "lucide-preact";
import type { ComponentChildren } from "preact";
import type { PoolDiscover, PoolDiscovered } from "../../../../src/model/storage.ts";
import { obstacleTo } from "../../../api/session.ts";
import { Button } from "../../../components/button.tsx";
import { Notice } from "../../../components/layout.tsx";
import { type Pick, PickList } from "../../../components/pick-list.tsx";
import { Prose } from "../../../components/prose.tsx";
import { storage as t } from "../../../strings/storage.ts";
import { useAsk } from "./ask.ts";

type Props = {
	/** On the button. */
	action: string;
	/** Of the list. */
	label: string;
	/** What to ask; null while too little was typed, which `missing` says. */
	question: PoolDiscover | null;
	missing: string;
	/** As seen from this node. */
	nodeId: string | undefined;
	choices: (found: PoolDiscovered) => Pick[];
	nothing: string;
	value: string;
	onChoose: (value: string, found: PoolDiscovered) => void;
	/** What else can be chosen from what was found. */
	more?: (found: PoolDiscovered) => ComponentChildren;
};

export function Discovery(props: Props) {
	const { action, label, question, missing, nodeId, choices, nothing, value, onChoose, more } = props;
	const ask = useAsk(
		"poolDiscover",
		question && { body: question, ...(nodeId === undefined ? {} : { query: { nodeId } }) },
	);
	const found = ask.answer;
	const picks = found === null ? [] : choices(found);
	return (
		<div class="discovery">
			<Button
				icon={Search}
				busy={ask.busy}
				obstacle={obstacleTo("poolDiscover") ?? (question === null ? missing : null)}
				onClick={() => void ask.run()}
			>
				{action}
			</Button>
			<div class="discovery__result" aria-live="polite">
				{ask.busy && <p class="muted">{t.looking}</p>}
				{ask.error && (
					<Notice tone="error" title={t.discoverFailed}>
						<Prose text={ask.error.message} />
					</Notice>
				)}
				{found !== null && picks.length === 0 && <p class="muted">{nothing}</p>}
				{found !== null && picks.length > 0 && (
					<PickList
						label={label}
						mono
						choices={picks}
						value={value}
						onChoose={(chosen) => {
							onChoose(chosen, found);
							ask.keep();
						}}
					/>
				)}
				{found !== null && more?.(found)}
			</div>
		</div>
	);
}
