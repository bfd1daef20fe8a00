/** docs/api.md and docs/metrics.md say what the code says. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { createApiHarness } from "../testing/api/api-harness.ts";
import { fixtureClusterStatus, fixtureMember } from "../testing/api/fake-cluster.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { statusOf } from "./problem-codes.ts";

const read = (name: string) => Bun.file(join(import.meta.dir, "../../docs", name)).text();

test("every error code has its status in docs/api.md", async () => {
	const rows = (await read("api.md")).split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
	for (const [code, status] of Object.entries(statusOf)) {
		const row = rows.find(([, statuses]) => statuses?.split(", ").includes(String(status)));
		expect(row?.[2]).toContain(`\`${code}\``);
	}
});

test("every metric is in docs/metrics.md, and no other", async () => {
	const harness = await createApiHarness();
	await harness.request("GET", "/v1/me", { as: "viewer" });
	const members = [
		fixtureMember(),
		fixtureMember({ nodeId: fixtureId(0x20), name: "node-2", latencyMs: 0.25, clockOffsetMs: -1500 }),
	];
	harness.cluster.current = fixtureClusterStatus({ members });
	const rendered = harness.api.services.metrics.render();
	await harness.close();
	expect(rendered).toContain(`limiquantix_peer_round_trip_seconds{node="${fixtureId(0x20)}"} 0.00025\n`);
	expect(rendered).toContain(`limiquantix_cluster_clock_offset_seconds{node="${fixtureId(0x20)}"} -1.5\n`);
	const names = [...rendered.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1]).sort();
	const documented = [...(await read("metrics.md")).matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]).sort();
	expect(documented).toEqual(names);
});
