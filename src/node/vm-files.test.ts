/** The order of what is done to one VM's files. */
import { expect, test } from "bun:test";
import { fixtureId } from "../testing/fixtures.ts";
import { vmFilesInOrder } from "./vm-files.ts";
import { seedPath, vmFolder, vmFolders } from "./vm-folder.ts";
import { vmStateFiles } from "./vm-state.ts";

const dataDir = "/nowhere";
const [vmId, otherId, snapshotId] = [fixtureId(1), fixtureId(2), fixtureId(3)];

/** `held`: what a copy of the VM's state waits for. */
function filesWith(held: Promise<void>) {
	const done: string[] = [];
	const say = (what: string) => async () => {
		done.push(what);
	};
	const files = vmFilesInOrder({
		dataDir,
		folders: { ...vmFolders, make: say("make"), removeSeed: say("removeSeed") },
		seeds: say("seed"),
		vmState: {
			...vmStateFiles(dataDir),
			keep: async () => {
				await held;
				done.push("keep");
			},
			remove: say("remove"),
		},
	});
	return { files, done };
}

test("a VM's files go when all is done that was begun before, also what nobody waits for any more", async () => {
	const held = Promise.withResolvers<void>();
	const { files, done } = filesWith(held.promise);
	const kept = files.vmState.keep(vmId, snapshotId);
	const made = files.folders.make(vmFolder(dataDir, vmId));
	const removed = files.vmState.remove(vmId);
	// Those of another VM wait for nothing.
	await files.folders.make(vmFolder(dataDir, otherId));
	expect(done).toEqual(["make"]);
	held.resolve();
	await Promise.all([kept, made, removed]);
	expect(done).toEqual(["make", "keep", "make", "remove"]);
});

test("a seed that was given up before its turn is not written", async () => {
	const held = Promise.withResolvers<void>();
	const { files, done } = filesWith(held.promise);
	const kept = files.vmState.keep(vmId, snapshotId);
	const givenUp = new AbortController();
	const path = seedPath(vmFolder(dataDir, vmId));
	const seed = files.seeds({ path, signal: givenUp.signal } as Parameters<typeof files.seeds>[0]);
	givenUp.abort(new Error("too long"));
	held.resolve();
	await expect(seed).rejects.toThrow("too long");
	await kept;
	expect(done).toEqual(["keep"]);
});
