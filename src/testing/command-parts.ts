/** The parts that random commands are made of; see command-arbitrary.ts. */
import fc from "fast-check";
import type { ErrorInfo } from "../lib/errors.ts";
import { GiB } from "../lib/units.ts";
import { type TaskKind, taskKinds } from "../model/task.ts";
import { powerStates, type VmSpec } from "../model/vm.ts";
import { passwordFingerprint } from "../store/password-fingerprint.ts";
import {
	clusterIds,
	fixtureId,
	fixtureNode,
	fixtureTask,
	fixtureTime,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "./fixtures.ts";

export const small = fc.integer({ min: 0, max: 3 });
export const idFrom = (base: number) => small.map((number) => fixtureId(base + number));
export const vmId = idFrom(0x100);
export const volumeId = idFrom(0x200);
export const imageId = idFrom(0x300);
export const snapshotId = idFrom(0x280);
/** Mostly the first, so that things work together; the others often enough to go wrong. */
export const mostly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
	fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
export const poolId = mostly(clusterIds.pool, fixtureId(0x500), fixtureId(0x501));
export const networkId = mostly(clusterIds.network, fixtureId(0x520), fixtureId(0x521));
export const userId = fc.constantFrom(clusterIds.admin, fixtureId(0x540), fixtureId(0x541));
export const sessionId = idFrom(0x600);
export const tokenId = idFrom(0x700);
export const taskId = fc.integer({ min: 0, max: 60 }).map((number) => fixtureId(0x10000 + number));
export const nodeId = fc.oneof({ weight: 9, arbitrary: fc.constant(clusterIds.node) }, fc.constant(fixtureId(0x999)));
/** Of a node that joins. */
export const secondNodeId = fc.constant(fixtureId(0x998));
export const peerAddresses = fc.oneof(
	{ weight: 9, arbitrary: fc.subarray<string>(["node-1.example.com:7443", "192.0.2.1:7443", "[2001:db8::1]:7443"]) },
	fc.constant<string[]>(["nowhere"]),
);
export const name = fc.oneof(
	{ weight: 19, arbitrary: fc.constantFrom("alpha", "beta", "Gamma", "gamma", "delta", "epsilon", "zeta", "eta") },
	fc.constant("a b"),
);
export const text = mostly("some text", "", "ünïcode\n", "\u0000");
export const tags: fc.Arbitrary<string[]> = fc.oneof(
	{ weight: 9, arbitrary: fc.subarray<string>(["web", "db", "x:y"]) },
	fc.constant<string[]>(["BAD"]),
);
export const bytes = fc.constantFrom(0, 1, GiB, 10 * GiB, 20 * GiB, Number.MAX_SAFE_INTEGER);
export const errorInfo = fc.constantFrom<ErrorInfo | null>(null, { code: "storage", message: "broken" });
export const hash = mostly("$argon2id$x", "plain");
export const verifiedHash = hash.map((stored) => passwordFingerprint(stored));
export const secretHash = fc.integer({ min: 0, max: 99 }).map((number) => `sha256:${String(number).repeat(16)}`);
export const time = mostly("2026-06-01T00:00:00.000Z", fixtureTime, "2099-01-01T00:00:00+02:00", "soon");
export const expected = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined, freq: 2 });

/** Members that are undefined are left out, as commands of the API have them. */
export const record = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
	fc.record(model).map((made) => {
		const kept = Object.entries(made).filter(([, value]) => value !== undefined);
		return Object.fromEntries(kept) as T;
	});
/** For what most commands have not got. */
export const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
	fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, arbitrary);
export const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

export const task = (
	kinds: readonly TaskKind[],
	target: fc.Arbitrary<string>,
	targetKind: "vm" | "volume" | "image" | "pool" | "network",
) =>
	fc
		.record({
			id: taskId,
			kind: fc.oneof({ weight: 29, arbitrary: fc.constantFrom(...kinds) }, fc.constantFrom(...taskKinds)),
			target,
			cancelable: fc.boolean(),
			nodeId,
		})
		.map(({ id, kind, target: targetId, cancelable, nodeId: node }) =>
			fixtureTask(kind, { kind: targetKind, id: targetId }, { id, cancelable, nodeId: node }),
		);

export const spec: fc.Arbitrary<VmSpec> = fc
	.record({
		disk: fc.option(volumeId),
		image: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, imageId),
		nic: fc.option(fc.record({ networkId, mac: small.map((number) => `52:54:00:00:00:0${number}`) })),
		vcpus: mostly(1, 2, 8),
	})
	.map(({ disk, image, nic, vcpus }) =>
		fixtureVmSpec({
			cpu: { vcpus, maxVcpus: 4, model: "portable" },
			disks:
				disk === null
					? []
					: [{ id: "disk-0", volumeId: disk, bus: "virtio", cache: "none", discard: true, readOnly: false }],
			cdroms: image === null ? [] : [{ id: "cd-0", imageId: image }],
			nics: nic === null ? [] : [{ id: "nic-0", model: "virtio", linkUp: true, ...nic }],
		}),
	);

export const vm = fc.record({ id: vmId, name, tags, spec, nodeId }).map((changes) => fixtureVm(changes));
export const volume = fc
	.record({
		id: volumeId,
		name,
		poolId,
		source: fc.oneof(
			{ weight: 4, arbitrary: fc.constant({ kind: "empty" as const }) },
			fc.record({ kind: fc.constant("image" as const), imageId, fullCopy: fc.boolean() }),
			fc.record({ kind: fc.constant("clone" as const), volumeId, fullCopy: fc.boolean() }),
		),
	})
	.map((changes) => fixtureVolume(changes));
/** A new volume is usually the disk of its VM. */
export const vmWithVolumes = fc
	.record({ vm, volumes: fc.array(volume, { minLength: 1, maxLength: 1 }), fitting: mostly(true, false) })
	.map(({ vm: made, volumes, fitting }) => {
		const [disk] = made.spec.disks;
		if (!fitting || !disk) return { vm: made, volumes: fitting ? [] : volumes };
		return { vm: made, volumes: volumes.map((added) => ({ ...added, id: disk.volumeId })) };
	});
export const vmTaskKinds = ["vm.start", "vm.shutdown", "vm.stop", "vm.reset", "vm.pause", "vm.resume"] as const;
export const vmStatus = fc
	.record({ powerState: fc.constantFrom(...powerStates), observedGeneration: small })
	.map((changes) => fixtureVmStatus(changes));
export const nodeStatus = fc.constantFrom("a", "b").map((reason) => ({ ...fixtureNode().status, reason }));
