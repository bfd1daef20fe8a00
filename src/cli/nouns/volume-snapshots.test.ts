/** `volume snapshots`, as people see it. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fakeApi, page } from "../../testing/cli/fake-api.ts";
import { cli } from "../../testing/cli/run-cli.ts";
import { fixtureId, fixtureSnapshot, fixtureVm, fixtureVolume } from "../../testing/fixtures.ts";

test("the snapshots of whichever VM that hold a volume", async () => {
	const folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	const api = fakeApi({ runDir: folder }, {});
	const [volumeId, vmId] = [fixtureId(0x60), fixtureId(0x61)];
	api.handlers.volumeList = () => page(fixtureVolume({ id: volumeId, name: "data" }));
	api.handlers.vmList = () => page(fixtureVm({ id: vmId, name: "web" }));
	api.handlers.volumeSnapshotList = ({ id }) =>
		id === volumeId ? page(fixtureSnapshot({ id: fixtureId(0x62), name: "before", vmId, phase: "ready" })) : page();
	const { code, out } = await cli(["volume", "snapshots", "data", "--run-dir", folder]);
	expect(code).toBe(0);
	const [header, row] = out.split("\n").map((line) => line.split(/\s+/));
	expect(header).toEqual(["NAME", "VM", "PHASE", "CREATED", "ID"]);
	expect(row?.slice(0, 3)).toEqual(["before", "web", "ready"]);
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
