/** How many VMs are in which state: a bar, and numbers that lead to the list. */
import { useCollection } from "../../api/use.ts";
import { StateDot } from "../../components/badge.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { Card } from "../../components/layout.tsx";
import { powerLook } from "../../components/states.ts";
import { formatCount } from "../../lib/format.ts";
import { href } from "../../routes.ts";
import { overview as t } from "../../strings/overview.ts";
import { states } from "../../strings/states.ts";

type Power = keyof typeof states.power;
const order: readonly Power[] = [
	"running",
	"starting",
	"stopping",
	"migrating",
	"paused",
	"failed",
	"unknown",
	"stopped",
];

export function VmsCard() {
	const vms = useCollection("vm");
	const items = vms.items.value;
	const counts = new Map<Power, number>();
	for (const { status } of items) counts.set(status.powerState, (counts.get(status.powerState) ?? 0) + 1);
	const present = order.filter((power) => (counts.get(power) ?? 0) > 0);
	return (
		<Card title={t.vms} actions={<a href={href("vms")}>{formatCount(items.length)}</a>}>
			{vms.state.value !== "ready" ? (
				<Skeleton />
			) : items.length === 0 ? (
				<p class="muted">
					{t.noVms} <a href={href("welcome")}>{t.welcomeLink}</a>
				</p>
			) : (
				<>
					<div class="vm-states__bar" aria-hidden="true">
						{present.map((power) => (
							<span
								key={power}
								class={`vm-states__part vm-states__part--${powerLook(power).tone}`}
								style={{ flexGrow: counts.get(power) ?? 0 }}
							/>
						))}
					</div>
					<ul class="vm-states">
						{present.map((power) => (
							<li key={power}>
								<a href={href("vms", undefined, { state: power })}>
									<StateDot look={powerLook(power)} />
									<span aria-hidden="true">{states.power[power]}</span>
									<strong>{formatCount(counts.get(power) ?? 0)}</strong>
								</a>
							</li>
						))}
					</ul>
				</>
			)}
		</Card>
	);
}
