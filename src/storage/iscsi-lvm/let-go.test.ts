/** A pool that is let go of, and what keeps it: LVM is played here; on its real metadata it is in long-work.lab.test.ts. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { GiB } from "../../lib/units.ts";
import { fails } from "../conformance.ts";
import { OperationLocks } from "../operation-locks.ts";
import { Activation } from "./activation.ts";
import type { Connection } from "./connection.ts";
import type { IscsiContext } from "./context.ts";
import type { VolumeGroup } from "./group.ts";
import { PoolLifecycle } from "./lifecycle.ts";
import type { OpenVolumes } from "./open-volumes.ts";
import { parseTags } from "./records.ts";
import { removeDisk } from "./remove-disk.ts";

const nodeId = "11111111-1111-4111-8111-111111111111";
const id = "22222222-2222-4222-8222-222222222222";
const other = "33333333-3333-4333-8333-333333333333";
const lv = `v-${id}-1`;
const otherLv = { lv: `v-${other}-1`, mode: "exclusive" as const };

let folder: string;
let calls: string[];
/** What LVM answers to deactivating the group. */
let refusal: AppError | null;
/** The disk that was deleted, and is to be overwritten. */
let isThere: boolean;
/** The group that the LUN is in, when it is another pool's. */
let otherGroup: string | null;
/** Why the LUN is away, and whether a process has a disk of it open then. */
let dead: string | null;
let isOpen: boolean;
/** By which the LUN is found now. */
let device: string;
/** The overwriting began; it goes on with `go`, in the turn of the test. */
let [began, go]: PromiseWithResolvers<void>[] = [];

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-let-go-"));
	[calls, refusal, isThere, otherGroup] = [[], null, true, null];
	[dead, isOpen, device] = [null, false, "/dev/null"];
	next();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function next(): void {
	[began, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
}

function pool() {
	const disk = () => ({
		...{ lv, name: { kind: "volume", id, number: 1 }, uuid: "u", lvBytes: GiB, active: false, open: false },
		...{ dataPercent: null, record: parseTags(lv, [`lqx.gone=${nodeId}`, "lqx.format=raw"]) },
	});
	const group = {
		...{ device: null as string | null, name: "lqx-x", hasLocks: false },
		find: async () => ({ lockType: "none", tags: [] }),
		startLocks: async () => {},
		stopLocks: async () => {},
		coveredBytes: async () => 1e15,
		ensureThinPool: async () => {},
		reviveThinPool: async () => false,
		lvs: async () => ({ lvs: isThere ? [disk()] : [], damaged: new Map() }),
		activate: async (name: string) => void calls.push(`activate ${name}`),
		deactivate: async () => {},
		record: async () => {},
		otherGroup: async () => otherGroup,
		async dropDevices() {
			if (isOpen) throw new AppError("in-use", "A process on this node has disks of the pool open.");
			calls.push("drop devices");
		},
		removeLv: async () => {
			isThere = false;
		},
		async deactivateAll(this: VolumeGroup) {
			calls.push(device === "/dev/null" ? "deactivate all" : `deactivate all by ${this.device}`);
			if (refusal !== null) throw refusal;
		},
	} as unknown as VolumeGroup;
	const connection: Connection = {
		connect: async () => ({ device: "/dev/null", sizeBytes: 0, undo: async () => {} }),
		current: async () => ({ device, sizeBytes: 0 }),
		trouble: async () => ({ dead, weak: null }),
		rescan: async () => ({ device: "/dev/null", sizeBytes: 0 }),
		disconnect: async ({ isOthers } = {}) => void calls.push(isOthers ? "disconnect from others'" : "disconnect"),
	};
	const context = {
		...{ nodeId, layout: "thick", wipeOnDelete: true, group, log: silentLogger, clock: systemClock },
		...{ removals: new Map(), locks: new OperationLocks(50), activation: new Activation(group, silentLogger) },
		staging: { prepare: async () => {}, context: { folder: { root: folder } } },
		// Between two steps nothing has the disk open; /dev/null takes no zeroes, so it ends here, or is told to.
		async step(name: string) {
			if (name !== "overwrite a disk") return;
			calls.push(name);
			const [at, end] = [began, go];
			at?.resolve();
			await end?.promise;
		},
	} as unknown as IscsiContext;
	const open = { find() {}, lowerLayers: async () => {} } as unknown as OpenVolumes;
	const options = { poolId: "p", mayInitialize: false, connection, shared: false, releaseIdleImages: async () => {} };
	return { context, disk, lifecycle: new PoolLifecycle(context, open, options) };
}

/** The process of the deletion that was cut short is over; the overwriting that is left has begun. */
async function withLeft() {
	const made = pool();
	await made.lifecycle.activate({});
	await began?.promise;
	return made;
}

test("what LVM refuses to let go of stays, and the overwriting of what is left goes on", async () => {
	const { lifecycle, context } = await withLeft();
	refusal = new AppError("in-use", "A process has a volume open.");
	const refused = fails("in-use", lifecycle.deactivate());
	const before = go;
	next();
	before?.resolve();
	await refused;
	await began?.promise;
	expect(calls.filter((call) => !call.startsWith("activate"))).toEqual([
		"overwrite a disk",
		"deactivate all",
		"overwrite a disk",
	]);
	expect(context.group.device).toBe("/dev/null");
});

test("a deletion that waits for what is left keeps the pool, and is not called off", async () => {
	const { lifecycle, context, disk } = await withLeft();
	const lock = await context.locks.exclusive(`volume:${id}`, "busy");
	let ended = "";
	const deletion = removeDisk(context, disk() as never).then(
		() => (ended = "done"),
		(error) => (ended = error.code),
	);
	expect(await fails("in-use", lifecycle.deactivate())).toContain("Something is being done");
	expect([ended, calls]).toEqual(["", ["overwrite a disk"]]);
	lock[Symbol.dispose]();
	go?.resolve();
	await deletion;
});

test("whoever waits for a removal that is told to end goes on with it", async () => {
	const { context, disk } = pool();
	const abort = new AbortController();
	const first = fails("canceled", removeDisk(context, disk() as never, { signal: abort.signal }));
	await began?.promise;
	const second = removeDisk(context, disk() as never, { signal: new AbortController().signal });
	abort.abort();
	const before = go;
	next();
	before?.resolve();
	await first;
	await Promise.race([began?.promise, second]);
	expect(calls.filter((call) => call === "overwrite a disk")).toHaveLength(2);
	// Gone by somebody else, it is done.
	isThere = false;
	go?.resolve();
	await second.catch(() => {});
});

test("disks that are open, to be opened by QEMU in a while, keep the pool", async () => {
	isThere = false;
	const { lifecycle, context } = pool();
	await lifecycle.activate({});
	await context.activation.pin(other, [otherLv]);
	expect(await fails("in-use", lifecycle.deactivate())).toContain("A VM of this node");
	expect(context.activation.isPinned(other)).toBe(true);
	expect(calls).toEqual([`activate ${otherLv.lv}`]);
	await context.activation.unpin(other);
	await lifecycle.deactivate();
	expect(calls.slice(1)).toEqual(["deactivate all", "disconnect"]);
});

test("a LUN that is away for a moment is not taken from under a VM, which goes on afterwards", async () => {
	isThere = false;
	const { lifecycle, context } = pool();
	await lifecycle.activate({});
	await context.activation.pin(other, [otherLv]);
	[dead, isOpen] = ["The target does not answer.", true];
	expect(await fails("in-use", lifecycle.deactivate())).toContain("A process on this node");
	expect([context.activation.isPinned(other), context.group.device]).toEqual([true, "/dev/null"]);
	expect(calls).toEqual([`activate ${otherLv.lv}`]);
	dead = null;
	expect(await fails("in-use", lifecycle.deactivate())).toContain("A VM of this node");
});

test("a LUN that is away is let go of once nobody has anything open, also what could not be closed for that", async () => {
	isThere = false;
	const { lifecycle, context } = pool();
	await lifecycle.activate({});
	await context.activation.pin(other, [otherLv]);
	dead = "The target does not answer.";
	await lifecycle.deactivate();
	expect(calls).toEqual([`activate ${otherLv.lv}`, "drop devices", "disconnect"]);
	expect([context.activation.isPinned(other), context.group.device]).toEqual([false, null]);
});

test("where the way that it was activated by is dead, it is let go of by the one that works", async () => {
	isThere = false;
	const { lifecycle } = pool();
	await lifecycle.activate({});
	device = "/dev/zero";
	await lifecycle.deactivate();
	expect(calls).toEqual(["deactivate all by /dev/zero", "disconnect"]);
});

test("an operation that waits for a LUN that is away keeps it", async () => {
	isThere = false;
	const { lifecycle, context } = pool();
	await lifecycle.activate({});
	const done = Promise.withResolvers<void>();
	const operation = context.activation.use([otherLv], () => done.promise);
	dead = "The target does not answer.";
	expect(await fails("in-use", lifecycle.deactivate())).toContain("Something is being done");
	done.resolve();
	await operation;
	await lifecycle.deactivate();
	expect(calls.slice(-2)).toEqual(["drop devices", "disconnect"]);
});

test("what is left to be overwritten on a LUN that is away has it open, and goes on when it is back", async () => {
	const { lifecycle } = await withLeft();
	[dead, isOpen] = ["The target does not answer.", true];
	await fails("in-use", lifecycle.deactivate());
	const before = go;
	next();
	before?.resolve();
	await began?.promise;
	expect(calls.filter((call) => !call.startsWith("activate"))).toEqual(["overwrite a disk", "overwrite a disk"]);
	const left = lifecycle.end();
	go?.resolve();
	await left;
});

test("an operation between two of its steps keeps the pool; what is left to be overwritten does not", async () => {
	const { lifecycle, context } = await withLeft();
	const done = Promise.withResolvers<void>();
	const operation = context.activation.use([otherLv], () => done.promise);
	expect(await fails("in-use", lifecycle.deactivate())).toContain("Something is being done");
	done.resolve();
	await operation;
	const left = lifecycle.deactivate();
	go?.resolve();
	await left;
	// Also while it looks what is left.
	await lifecycle.activate({});
	await lifecycle.deactivate();
	expect(calls.slice(-2)).toEqual(["deactivate all", "disconnect"]);
	expect(isThere).toBe(true);
});

test("a LUN that another pool has by now is let go of, and stays for that one", async () => {
	isThere = false;
	const { lifecycle } = pool();
	refusal = new AppError("storage", "The volume group is not on the LUN.", { context: { noGroup: true } });
	otherGroup = "lqx-another";
	await lifecycle.deactivate();
	expect(calls).toEqual(["deactivate all", "disconnect from others'"]);
});

test("the removal waits for what makes the pool ready, and ends when it is told to", async () => {
	const { lifecycle, context } = pool();
	const activation = await context.locks.exclusive("pool", "busy");
	const said = Promise.withResolvers<string | undefined>();
	const abort = new AbortController();
	const removal = fails(
		"canceled",
		lifecycle.remove({ signal: abort.signal, progress: (_ratio, text) => said.resolve(text) }),
	);
	expect(await said.promise).toBe("The pool is busy.");
	abort.abort();
	await removal;
	activation[Symbol.dispose]();
	expect(calls).toEqual([]);
});

test("a pool that is being overwritten is not removed when that is asked for, and goes on", async () => {
	const { lifecycle } = await withLeft();
	const refused = await lifecycle.remove({ ifIdle: true }).catch((error) => error);
	expect(refused).toMatchObject({ code: "in-use", context: { isAtWork: true } });
	expect(calls).toEqual(["overwrite a disk"]);
	const left = lifecycle.end();
	go?.resolve();
	await left;
});
