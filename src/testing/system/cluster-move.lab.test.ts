/**
 * Two real nodes, each with a libvirtd of its own: a VM that is off moves with its disks, its UEFI variables and its TPM, and
 * boots on the other node; an image is copied to where a VM needs it; a move whose node is killed comes to an end.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import type { Vm } from "../../model/vm.ts";
import { executablePath } from "../lab/daemon.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { freePort } from "./free-port.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import type { LabSystem } from "./lab-system.ts";
import { domainIds } from "./leftovers.ts";
import { startVmNode } from "./vm-node.ts";

type End = () => PromiseLike<void>;

const limitMs = 600_000;
const stepMs = 120_000;

const startNode = (name: string, poolPath: string, peerPort: number, ends: End[]) =>
	startVmNode({ name, poolPath, peerPort, ends });
const cli = (system: LabSystem, ...words: string[]) =>
	run(executablePath, [...words, "--run-dir", system.daemon.runDir], { timeoutMs: stepMs });
const nodeIdOf = async (system: LabSystem) => (await system.api.call("healthGet")).body.nodeId;

/** What of the VM lies on the node: its parts by name, empty when there is nothing. */
function filesOf({ libvirtd, daemon }: LabSystem, vm: Vm): Record<string, string> {
	const places: [string, string][] = [
		["variables", join(daemon.dataDir, "vms", vm.id, "nvram.fd")],
		["tpm", join(libvirtd.folder, "lib/swtpm", vm.id, "tpm2/tpm2-00.permall")],
		...vm.spec.disks.map(({ volumeId }): [string, string] => [
			"disk",
			join(libvirtd.folder, "pool/volumes", volumeId, "disk-1.qcow2"),
		]),
	];
	return Object.fromEntries(
		places.flatMap(([part, path]) => {
			const bytes = contentOf(path);
			return bytes === null ? [] : [[part, new Bun.CryptoHasher("sha256").update(bytes).digest("hex")]];
		}),
	);
}

/** Null when it is not there; it may go at any moment. */
function contentOf(path: string): Buffer | null {
	try {
		return readFileSync(path);
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
		throw error;
	}
}

async function stopped(system: LabSystem, vm: Vm): Promise<void> {
	await system.done(await system.api.call("vmStop", { path: { id: vm.id } }));
	await system.untilVm(vm.id, "the VM to be off", ({ status }) => status.powerState === "stopped");
}

/** A move has no settings but where to: none that making a VM would refuse, and no others (adversarial case 15). */
async function refusesOverrides({ daemon }: LabSystem, vm: Vm, nodeId: string): Promise<void> {
	const post = (path: string, body: unknown) =>
		fetch(`http://localhost${path}`, {
			...{ method: "POST", unix: daemon.socketPath, body: JSON.stringify(body) },
			headers: { "content-type": "application/json" },
		} as RequestInit);
	const overrides: Record<string, unknown>[] = [
		...[{ nodeId: "../../etc" }, { nodeId: [nodeId] }, { nodeId: crypto.randomUUID() }, { nodeId: vm.id }],
		...[
			{ name: "../../etc" },
			{ spec: vm.spec },
			{ poolId: "/etc" },
			{ pools: {} },
			{ disks: [{ path: "/etc/shadow" }] },
		],
		...[{ memoryBytes: 1 }, { desiredPower: "running" }, { status: vm.status }, { confirmNodeOff: 7 }, { start: "-o" }],
		{ confirmNodeOff: "move-1" }, // it is there
	];
	for (const override of overrides) {
		const { status } = await post(`/v1/vms/${vm.id}/actions/move`, { nodeId, ...override });
		expect({ override, refused: [404, 409, 422].includes(status) }).toEqual({ override, refused: true });
	}
}

/** Nothing of it is left on the node. */
async function expectGone(system: LabSystem, vm: Vm): Promise<void> {
	await waitUntil("what the VM has left to be removed", stepMs, async () => {
		const left = Object.keys(filesOf(system, vm)).length > 0 || existsSync(join(system.daemon.dataDir, "vms", vm.id));
		return !left && !(await domainIds(system)).includes(vm.id);
	});
}

test(
	"a VM moves with all that it is, there and back; its image follows when it is needed",
	async () => {
		const poolPath = mkdtempSync("/tmp/lqx-move-pool-");
		const ends: End[] = [];
		try {
			const [port, otherPort] = [await freePort(), await freePort()];
			const first = await startNode("move-1", poolPath, port, ends);
			const second = await startNode("move-2", poolPath, otherPort, ends);
			await cli(first, "cluster", "init", "--name", "lab", "--address", `127.0.0.1:${port}`);
			const { secret } = (await first.api.call("joinTokenCreate", { body: {} })).body;
			const address = ["--address", `127.0.0.1:${otherPort}`];
			await cli(second, "cluster", "join", `127.0.0.1:${port}`, "--token", secret, ...address, "--rename", "--yes");
			await second.ready();
			const [nodeId, otherId] = [await nodeIdOf(first), await nodeIdOf(second)];
			await waitUntil("both nodes to be ready", stepMs, async () => {
				const { items } = (await first.api.call("nodeList")).body;
				return items.length === 2 && items.every(({ status }) => status.phase === "ready");
			});

			// What the second node had as a network of its own makes room for the cluster's.
			await waitUntil("the cluster's networks on both nodes", stepMs, async () => {
				const { items } = (await first.api.call("networkList")).body;
				return items.every(({ nodes }) => nodes.filter(({ health }) => health === "healthy").length === 2);
			});

			// The guest has no boot loader for UEFI: variables and TPM are made all the same.
			const made = await first.createVm({ name: "mover", nodeId, firmware: "uefi", tpm: true });
			await waitUntil("the TPM to be made", stepMs, () => "tpm" in filesOf(first, made));
			await stopped(first, made);
			const before = filesOf(first, made);
			expect(Object.keys(before).sort()).toEqual(["disk", "tpm", "variables"]);
			await refusesOverrides(second, made, otherId);
			expect([(await second.vm(made.id)).spec, filesOf(first, made)]).toEqual([made.spec, before]);
			const { stdout } = await cli(second, "vm", "move", "mover", "move-2");
			expect(stdout).toContain("done");
			const moved = await first.vm(made.id);
			expect(moved.nodeId).toBe(otherId);
			const after = filesOf(second, moved);
			expect([after.variables, after.tpm]).toEqual([before.variables, before.tpm]);
			expect(Object.keys(after).sort()).toEqual(["disk", "tpm", "variables"]);
			await expectGone(first, made);
			await second.done(await first.api.call("vmStart", { path: { id: made.id } }));
			await second.untilVm(made.id, "it to run there", ({ status }) => status.powerState === "running");
			await stopped(second, moved);

			// One that boots: from the image of the first node, on the second.
			const image = await first.image();
			const nics = [{ networkId: (await first.network()).id }];
			const guest = await second.createVm({ name: "guest", nodeId: otherId, disks: [{ imageId: image.id }], nics });
			expect(guest.nodeId).toBe(otherId);
			await new GuestTerminal(second, guest.id).booted();
			expect(readdirSync(join(second.libvirtd.folder, "pool/images"))).toEqual([image.id]);
			await stopped(second, guest);
			await cli(first, "vm", "move", "guest", "move-1");
			await first.done(await first.api.call("vmStart", { path: { id: guest.id } }));
			await new GuestTerminal(first, guest.id).booted();
			await stopped(first, guest);
			await expectGone(second, guest);

			// Its node is killed on the way: it goes on, or is undone, and the VM is whole on one of them.
			const body = { nodeId };
			const asked = await second.api.call("vmMove", { path: { id: made.id }, body });
			await first.daemon.kill9();
			await first.daemon.start();
			await first.ready();
			const task = await first.finished(`/v1/tasks/${asked.body.id}`);
			const [here, there] = task.state === "succeeded" ? [first, second] : [second, first];
			await expectGone(there, moved);
			expect(filesOf(here, moved)).toMatchObject({ tpm: expect.any(String), variables: expect.any(String) });
			await waitUntil("the VM to be known there", stepMs, async () => (await domainIds(here)).includes(made.id));
			await here.done(await here.api.call("vmStart", { path: { id: made.id } }));
			await here.untilVm(made.id, "it to run", ({ status }) => status.powerState === "running");
		} finally {
			for (const end of ends) await end();
			rmSync(poolPath, { recursive: true, force: true });
		}
	},
	limitMs,
);
