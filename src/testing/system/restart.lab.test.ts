/** The daemon and libvirtd come and go; VMs stay, and what is said of them stays true. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { present } from "../../lib/assert.ts";
import type { Event } from "../../model/event.ts";
import type { Vm } from "../../model/vm.ts";
import { EventReader } from "../api/event-reader.ts";
import { buildGuestImage } from "../lab/guest-image.ts";
import { startLibvirtd } from "../lab/libvirtd.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { cacheDir, type LabSystem, labSystem, startLabSystem } from "./lab-system.ts";
import { domainIds, findLeftovers, qemuPids } from "./leftovers.ts";
import { openVnc } from "./picture.ts";

const limitMs = 240_000;
const at = (id: string) => ({ path: { id } });

test(
	"a VM runs on while the daemon ends, is killed, and libvirtd is killed under it",
	async () => {
		await using system = await startLabSystem({ name: "restart" });
		const { api, daemon, libvirtd } = system;
		const vm = await system.createVm({ name: "stays" });
		const guest = new GuestTerminal(system, vm.id);
		await guest.booted();
		await guest.run("echo here > /run/mark");
		const pids = await qemuPids(system);
		expect(pids).toHaveLength(1);
		const { startedAt } = (await system.vm(vm.id)).status;

		const unchanged = async () => {
			await system.ready();
			const now = await system.untilVm(
				vm.id,
				"the VM to be taken over",
				(seen) => seen.status.powerState === "running",
			);
			expect(now.status).toMatchObject({ startedAt, differences: [], pendingRestart: false, error: null });
			expect(now.desiredPower).toBe("running");
			expect(await qemuPids(system)).toEqual(pids);
			expect(await guest.run("cat /run/mark")).toBe("here");
			const vnc = await openVnc(system, vm.id);
			expect((await vnc.screenshot()).countDistinctColours()).toBeGreaterThan(2);
			return vnc;
		};

		const first = await openVnc(system, vm.id);
		expect(await daemon.term()).toBe(0);
		expect(await first.closed).toBeNumber();
		expect(existsSync(daemon.socketPath)).toBe(false);
		await daemon.start();
		const second = await unchanged();
		await daemon.kill9();
		expect(await second.closed).toBeNumber();
		await daemon.start();
		const third = await unchanged();

		// A console does not go through libvirt, and a libvirtd that is soon back is nobody's concern.
		const events = await watchVm(system, vm.id);
		await libvirtd.kill9();
		await waitUntil("the loss to be noticed", 20_000, () => hypervisorIs(system, "connected").then((is) => !is));
		expect((await third.screenshot()).countDistinctColours()).toBeGreaterThan(2);
		await libvirtd.restart();
		await waitUntil("libvirtd to be found again", 30_000, () => hypervisorIs(system, "connected"));
		await system.done(await api.call("vmPause", at(vm.id)));
		await system.done(await api.call("vmResume", at(vm.id)));
		const states = await events.statesUntil((seen) => seen.status.powerState === "running" && wasPaused(events.seen));
		expect(new Set(states)).toEqual(new Set(["running", "paused"]));
		await third.close();
		await (await unchanged()).close();

		// Away for longer: nobody knows, and nobody claims that it is off.
		await libvirtd.kill9();
		const away = await system.untilVm(vm.id, "the VM to be unknown", (seen) => seen.status.powerState !== "running");
		expect(away.status).toMatchObject({ powerState: "unknown", startedAt });
		expect(away.desiredPower).toBe("running");
		await libvirtd.restart();
		await (await unchanged()).close();
		await system.done(await api.call("vmDelete", at(vm.id)));
		expect(await findLeftovers(system)).toEqual([]);
	},
	limitMs,
);

test(
	"what happens to VMs while no daemon runs is found out at its start",
	async () => {
		await using system = await startLabSystem({ name: "unwatched" });
		const { daemon, libvirtd } = system;
		const [off, killed, started, undefined_] = await Promise.all(
			["off", "killed", "started", "undefined"].map((name) =>
				system.createVm({ name, start: name !== "started" && name !== "undefined", nics: [] }),
			),
		);
		const guest = new GuestTerminal(system, present(off, "the first VM").id);
		await guest.booted();
		await daemon.kill9();
		const virsh = (...args: string[]) => libvirtd.runInNamespace("virsh", ["--quiet", ...args]);
		const id = (vm: Vm | undefined) => present(vm, "the VM").id;
		await virsh("shutdown", id(off), "--mode", "acpi");
		await virsh("destroy", id(killed));
		await virsh("start", id(started));
		await virsh("undefine", id(undefined_), "--nvram");
		await waitUntil("the guest to be off", 60_000, async () =>
			(await virsh("domstate", id(off))).stdout.includes("shut off"),
		);
		await daemon.start();
		await system.ready();
		const settled = (vm: Vm | undefined, state: string) =>
			system.untilVm(id(vm), `${vm?.name} to be ${state}`, (now) => now.status.powerState === state);
		expect((await settled(off, "stopped")).status.reason).toBe("Shut down by the guest.");
		expect((await settled(killed, "stopped")).status.reason).toBe("Ended from outside of LimiQuantix.");
		const runs = await settled(started, "running");
		expect(runs.status.reason).toBe("Started from outside of LimiQuantix.");
		expect(runs.desiredPower).toBe("running");
		// Its definition was lost, not the VM: it is defined again when it is started.
		await settled(undefined_, "stopped");
		await system.done(await system.api.call("vmStart", at(id(undefined_))));
		await settled(undefined_, "running");
		for (const vm of [off, killed, started, undefined_])
			await system.done(await system.api.call("vmDelete", at(id(vm))));
		expect(await findLeftovers(system)).toEqual([]);
	},
	limitMs,
);

test(
	"without libvirtd the node is up, says so, and does the work when it comes",
	async () => {
		const guest = await buildGuestImage({ cacheDir });
		const libvirtd = await startLibvirtd({ name: "late" });
		await libvirtd.kill9();
		await using system = labSystem({ libvirtd, guest });
		await system.daemon.start();
		const health = await fetch(`${system.daemon.url}/healthz`);
		expect(health.status).toBe(200);
		expect(await health.json()).toMatchObject({ quorum: true, hypervisor: expect.stringMatching(/^(dis)?connect/) });
		expect(await hypervisorIs(system, "connected")).toBe(false);
		const { body: nodes } = await system.api.call("nodeList");
		expect(nodes.items[0]?.status.hypervisor).not.toBe("connected");
		await waitUntil(
			"the pool",
			20_000,
			async () => (await system.api.call("poolList")).body.items[0]?.phase === "ready",
		);
		// Storage does not need libvirt.
		const imageId = (await system.image()).id;
		const answer = await system.api.call("vmCreate", { body: { name: "patient", disks: [{ imageId }], nics: [] } });
		const waiting = await waitUntil("the task to wait for libvirt", 20_000, async () => {
			const { body: task } = await system.api.call("taskGet", at(taskId(answer)));
			return task.message?.includes("libvirt") ? task : undefined;
		});
		expect(waiting.state).toBe("running");
		await libvirtd.restart();
		await system.done(answer);
		expect((await system.vm(answer.body.id)).status.powerState).toBe("running");
		await system.done(await system.api.call("vmDelete", at(answer.body.id)));
		expect(await findLeftovers(system)).toEqual([]);
	},
	limitMs,
);

test(
	"libvirtd that dies while VMs are made leaves finished tasks, VMs that run or can be deleted, and nothing else",
	async () => {
		await using system = await startLabSystem({ name: "mid-create" });
		const { api, libvirtd } = system;
		const imageId = (await system.image()).id;
		const body = {
			memoryBytes: 256 * 2 ** 20,
			disks: [{ imageId }],
			nics: [{ networkId: (await system.network()).id }],
		};
		for (const defined of [1, 3]) {
			const names = [1, 2, 3, 4].map((number) => `vm-${defined}-${number}`);
			const answers = await Promise.all(names.map((name) => api.call("vmCreate", { body: { name, ...body } })));
			await waitUntil("some to be defined", 60_000, async () => (await domainIds(system)).length >= defined);
			await libvirtd.kill9();
			await libvirtd.restart();
			for (const answer of answers) {
				const task = await system.finished(answer.taskLocation);
				const vm = await system.vm(answer.body.id);
				expect([task.state, vm.status.powerState]).toBeOneOf([
					["succeeded", "running"],
					["failed", "failed"],
				]);
			}
			for (const answer of answers) await system.done(await api.call("vmDelete", at(answer.body.id)));
			expect(await domainIds(system)).toEqual([]);
			expect(await qemuPids(system)).toEqual([]);
			expect(await findLeftovers(system)).toEqual([]);
		}
	},
	limitMs,
);

const taskId = (answer: { taskLocation: string | null }) =>
	present(answer.taskLocation?.split("/").at(-1), "the task's id");

async function hypervisorIs({ daemon }: LabSystem, state: string): Promise<boolean> {
	const health = (await (await fetch(`${daemon.url}/healthz`)).json()) as { hypervisor: string };
	return health.hypervisor === state;
}

const wasPaused = (seen: Vm[]) => seen.some((vm) => vm.status.powerState === "paused");

/** Every state of the VM that is told from now on. */
async function watchVm({ daemon }: LabSystem, vmId: string) {
	const response = await fetch("http://localhost/v1/events", { unix: daemon.socketPath } as RequestInit);
	const reader = new EventReader(response);
	await reader.next();
	const seen: Vm[] = [];
	return {
		seen,
		async statesUntil(last: (vm: Vm) => boolean): Promise<string[]> {
			await reader.until((sent) => {
				if (sent.event !== "change") return false;
				const event = JSON.parse(sent.data) as Event;
				if (event.target.kind !== "vm" || event.target.id !== vmId || event.object === null) return false;
				seen.push(event.object as Vm);
				return last(event.object as Vm);
			});
			reader.close();
			return seen.map((vm) => vm.status.powerState);
		},
	};
}
