/** A layer is given to other nodes once QEMU has gone over to the disk above, and not for a look of somebody else at that. */
import { expect, test } from "bun:test";
import { silentLogger } from "../../lib/log.ts";
import { Activation } from "./activation.ts";
import type { IscsiContext } from "./context.ts";
import { lvName, parseLvName } from "./names.ts";
import { OpenVolumes } from "./open-volumes.ts";
import { type Lv, parseTags } from "./records.ts";

const id = "01890000-0000-7000-8000-0000000000aa";
const [layer, disk] = [lvName({ kind: "volume", id, number: 1 }), lvName({ kind: "volume", id, number: 2 })];

test("a layer is lowered when the disk above is open at two looks in a row", async () => {
	let open = false;
	const lv = (name: string, tags: string[]): Lv => {
		const parsed = parseLvName(name);
		if (parsed === null) throw new Error(name);
		const record = parseTags(name, ["lqx.format=qcow2", ...tags]);
		return {
			...{ lv: name, name: parsed, uuid: name, lvBytes: 1024, dataPercent: null, record },
			...{ active: true, open: name === disk && open },
		};
	};
	const lowered: string[] = [];
	const group = {
		hasLocks: true,
		activate: async (name: string, mode: string) => void (mode === "shared" && lowered.push(name)),
		deactivate: async () => {},
		lvs: async () => ({ lvs: [lv(layer, []), lv(disk, [`lqx.on=${layer}`])], damaged: new Map() }),
	};
	const activation = new Activation(group, silentLogger);
	const context = { group, activation, log: silentLogger } as unknown as IscsiContext;
	const volumes = new OpenVolumes(context);
	await activation.pin(id, [{ lv: layer, mode: "exclusive" }]);
	await activation.pin(id, [
		{ lv: disk, mode: "exclusive" },
		{ lv: layer, mode: "shared" },
	]);
	const look = async (isOpen: boolean) => {
		open = isOpen;
		await volumes.lowerLayers();
		return lowered.length;
	};
	// As when udev looks at a new device.
	for (const isOpen of [false, true, false, true]) expect(await look(isOpen)).toBe(0);
	expect(await look(true)).toBe(1);
	expect(lowered).toEqual([layer]);
	expect(await look(true)).toBe(1);
});
