/** Trying what is in the form on its nodes, and what each of them says. */

import type { Static } from "@sinclair/typebox";
import { PlugZap } from "lucide-preact";
import type { PoolProbe, PoolProbeAnswer } from "../../../../src/model/storage.ts";
import { obstacleTo } from "../../../api/session.ts";
import { StateBadge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import type { Form } from "../../../components/form.ts";
import { Notice } from "../../../components/layout.tsx";
import { Prose } from "../../../components/prose.tsx";
import { ResourceLink } from "../../../components/resource-link.tsx";
import { probeLook } from "../../../components/states.ts";
import { formatBytes } from "../../../lib/format.ts";
import { storage as t } from "../../../strings/storage.ts";
import { type Ask, useAsk } from "./ask.ts";
import type { PoolValues } from "./values.ts";

export type Probe = Ask<PoolProbeAnswer>;

export const useProbe = (body: Static<typeof PoolProbe>): Probe => useAsk("poolProbe", { body });

/** What it holds is looked at, be it confirmed or not. */
const isOfIt = (field: string): boolean => !["/name", "/description", "/overwrite"].includes(field);

export function ProbeButton({ form, probe }: { form: Form<PoolValues>; probe: Probe }) {
	const test = async () => {
		if (!form.check(isOfIt)) return;
		const error = await probe.run();
		if (error) form.showFields(error);
	};
	return (
		<Button icon={PlugZap} busy={probe.busy} obstacle={obstacleTo("poolProbe")} onClick={() => void test()}>
			{t.test}
		</Button>
	);
}

export function ProbeResult({ probe }: { probe: Probe }) {
	const { busy, answer, error } = probe;
	return (
		<div class="probe" aria-live="polite">
			{busy && <p class="muted">{t.testing}</p>}
			{error && (
				<Notice tone="error" title={t.testFailed}>
					<Prose text={error.message} />
				</Notice>
			)}
			{answer && (
				<ul class="probe__nodes" aria-label={t.testResult}>
					{answer.nodes.map(({ nodeId, ok, availableBytes, totalBytes, error: why }) => (
						<li key={nodeId} class="probe__node">
							<ResourceLink kind="node" id={nodeId} plain />
							<StateBadge look={probeLook(ok)} />
							<span class={ok ? "muted" : "probe__reason"}>
								{ok
									? availableBytes !== null &&
										totalBytes !== null &&
										t.freeOf(formatBytes(availableBytes), formatBytes(totalBytes))
									: (why?.message ?? t.testNoReason)}
							</span>
						</li>
					))}
				</ul>
			)}
		</div>
	);
}
