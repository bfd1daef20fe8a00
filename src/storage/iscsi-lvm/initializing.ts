/**
 * Making the volume group of a pool on its LUN, and what is left of that when it was cut short. A file in the node's staging folder says from
 * before the first change of the LUN to after the last that this node is at it, how far it has come, and by which id LVM knows the device. What
 * bears this id and is in no group, or is our group and not finished, is our own and is begun anew. All else that is there, be it bytes that
 * nobody knows or a bare device of LVM, somebody has put there since: it goes only when it was confirmed by name.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { errnoOf } from "../file-errors.ts";
import type { ConnectedLun } from "./connection.ts";
import type { IscsiContext } from "./context.ts";
import type { Group } from "./lvm-report.ts";
import { newDeviceUuid } from "./names.ts";
import { clearLun, clearOwnLvm, lvmMember, memberOf, requireConfirmed, requireUnused, whatIsOn } from "./signatures.ts";

type Begun = {
	/** "cleared": what was on the LUN before is gone. */
	state: "begun" | "cleared";
	/** Of the device of LVM; null where a version before this one has begun. */
	uuid: string | null;
};
type Options = { poolId: string; mayInitialize: boolean };

export class Initializing {
	readonly #context: IscsiContext;
	readonly #options: Options;

	constructor(context: IscsiContext, options: Options) {
		this.#context = context;
		this.#options = options;
	}

	/** The group on the LUN, which is made there when there is none, and this node may. `overwrite`: names of what may go for that. */
	async groupOn({ device, sizeBytes }: ConnectedLun, overwrite: readonly string[]): Promise<Group> {
		const { group } = this.#context;
		const { mayInitialize } = this.#options;
		const begun = await this.#begun();
		if (begun !== null) await this.#clearUnfinished({ device, sizeBytes }, begun);
		// Leave to overwrite is used up once the LUN was cleared by it: what is there since then is somebody else's.
		const confirmed = begun?.state === "cleared" ? [] : overwrite;
		const found = await group.find(mayInitialize ? confirmed : []);
		if (found !== null) {
			if (begun !== null) await rm(this.#file(), { force: true });
			return found;
		}
		if (!mayInitialize)
			throw new AppError("storage", "The LUN holds no volume group of this pool.", {
				context: { health: "unmounted" },
			});
		await this.#make({ device, sizeBytes }, confirmed, begun?.state ?? "begun");
		const made = await group.find();
		if (made === null) throw new AppError("storage", "The volume group that was just made is not found.");
		return made;
	}

	/** What this node had begun to make and nobody uses, of a pool that is deleted. Anything else stays. */
	async clear(lun: ConnectedLun): Promise<void> {
		const begun = await this.#begun();
		if (begun !== null) await this.#clearUnfinished(lun, begun);
	}

	/** As people are told it, and name it to confirm that it goes. */
	async contents({ device, sizeBytes }: ConnectedLun): Promise<string[]> {
		const found = await whatIsOn(device, sizeBytes);
		const other = found.includes(lvmMember) ? await this.#context.group.otherGroup() : null;
		return other === null ? found : found.map((name) => (name === lvmMember ? memberOf(other) : name));
	}

	async #clearUnfinished({ device, sizeBytes }: ConnectedLun, { uuid }: Begun): Promise<void> {
		const { group } = this.#context;
		const isLvm = (await whatIsOn(device, sizeBytes)).join() === lvmMember;
		if (!isLvm || !(await group.isUnfinished(uuid))) return;
		await group.dropLeases();
		await requireUnused(device);
		await clearOwnLvm(device);
	}

	async #make(lun: ConnectedLun, confirmed: readonly string[], state: Begun["state"]): Promise<void> {
		const { group, step, random } = this.#context;
		const { device, sizeBytes } = lun;
		group.requireRoom(sizeBytes);
		const found = await this.contents(lun);
		requireConfirmed(found, confirmed);
		if (found.length > 0) await requireUnused(device);
		const uuid = newDeviceUuid(random);
		await this.#note({ state, uuid });
		if (found.length > 0) {
			await step("clear the LUN");
			await clearLun(device, sizeBytes);
			await this.#note({ state: "cleared", uuid });
		}
		await step("make the volume group");
		// What fails half-way leaves a device that LVM knows, and is begun anew the next time.
		await group.initialize(device, sizeBytes, uuid);
		await step("finish the volume group");
		await group.finishInitializing();
		await step("forget that the volume group was begun");
		await rm(this.#file(), { force: true });
	}

	#file = (): string => join(this.#context.staging.context.folder.root, "initializing");

	#note = ({ state, uuid }: Begun): Promise<void> =>
		writeFile(this.#file(), `${this.#options.poolId} ${state} ${uuid}`, { mode: 0o600, flush: true });

	/** How far this node had come with making the group; null when it had not begun, or was done. */
	async #begun(): Promise<Begun | null> {
		try {
			const [poolId, state, uuid = null] = (await readFile(this.#file(), "utf8")).split(" ");
			if (poolId !== this.#options.poolId) return null;
			return { state: state === "cleared" ? "cleared" : "begun", uuid };
		} catch (error) {
			if (errnoOf(error) === "ENOENT") return null;
			throw error;
		}
	}
}
