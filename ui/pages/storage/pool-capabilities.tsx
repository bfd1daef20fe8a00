/** What a pool can do, and why not; under the names of nodes where they do not say the same. */
import { type Told, type ToldCapability, toldCapabilities } from "../../../src/model/told-capabilities.ts";
import type { Pool } from "../../api/types.ts";
import { Card } from "../../components/layout.tsx";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";

type Props = { pool: Pick<Pool, "nodes">; nodeName: (id: string) => string };

export function PoolCapabilities({ pool, nodeName }: Props) {
	const all = toldCapabilities(pool);
	if (all.length === 0) return null;
	return (
		<Card title={t.capabilities} flush>
			<table class="capabilities">
				<caption class="visually-hidden">{t.capabilities}</caption>
				<thead class="visually-hidden">
					<tr>
						<th scope="col">{t.capability}</th>
						<th scope="col">{common.state}</th>
					</tr>
				</thead>
				{all.map((one) => (
					<tbody key={one.name}>
						{one.told.map((told, at) => (
							<tr key={told.nodeIds[0]}>
								{at === 0 && (
									<th scope="rowgroup" rowSpan={one.told.length}>
										{labelOf(one)}
									</th>
								)}
								<td>
									{valueText(one, told)}{" "}
									{!one.everywhere && (
										<span class="capabilities__nodes">{told.nodeIds.map(nodeName).sort().join(", ")}</span>
									)}
									{told.reason !== null && <div class="muted">{told.reason}</div>}
								</td>
							</tr>
						))}
					</tbody>
				))}
			</table>
		</Card>
	);
}

/** What is not among the words came with a later version, and is called as it is in the record. */
const labelOf = ({ name }: ToldCapability): string => (t.capabilityNames as Record<string, string>)[name] ?? name;

function valueText({ name }: ToldCapability, { value }: Told): string {
	if (value === true) return common.yes;
	if (value === false) return common.no;
	const kinds = t.provisionings as Record<string, string>;
	return value.map((one) => (name === "provisioning" ? (kinds[one] ?? one).toLowerCase() : one)).join(", ");
}
