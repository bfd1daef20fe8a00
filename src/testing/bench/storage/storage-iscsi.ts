/**
 * The iSCSI driver's logical volumes beside `lvcreate` and `lvremove` with the host's own lvm.conf, on LVM's real metadata. Without iSCSI
 * and without device-mapper, which the kernel of a build machine may lack: the programs that run are the same.
 */
import { systemClock } from "../../../lib/clock.ts";
import { idSource } from "../../../lib/ids.ts";
import { systemRandom as random } from "../../../lib/random.ts";
import { GiB } from "../../../lib/units.ts";
import { Lvm } from "../../../storage/iscsi-lvm/lvm.ts";
import { loopPool, nodeId } from "../../../storage/iscsi-lvm/testing/loop-pool.ts";
import type { Bench } from "../bench.ts";
import { type BareTool, driverRounds } from "./driver-rounds.ts";

const ids = idSource(systemClock, random);
const lunBytes = 4096 * GiB;

export const storageIscsi: Bench = {
	name: "storage-iscsi",
	what: "iSCSI pool without a target: create and delete of 10 GB against lvcreate and lvremove",
	async run({ runs = 15 }) {
		await using pool = await loopPool(lunBytes);
		await using barePool = await loopPool(lunBytes);
		const driver = pool.driver();
		await driver.activate();
		const bare = await lvmOn(barePool.device);
		return await driverRounds({ prefix: "storageIscsi", driver, bare, newId: () => ids.newId(), rounds: runs });
	},
};

async function lvmOn(device: string): Promise<BareTool> {
	const lvm = new Lvm({ nodeId, hostId: null, folder: null, extra: ["--driverloaded", "n"] });
	const call = { devices: [device] };
	const change = async (...args: string[]) => {
		await lvm.change(args, call);
	};
	await change("vgcreate", "bare", device);
	return {
		create: (name, bytes) =>
			change(
				"lvcreate",
				"--yes",
				"--activate",
				"n",
				"--zero",
				"n",
				"--wipesignatures",
				"n",
				"-L",
				`${bytes}b`,
				"-n",
				name,
				"bare",
			),
		delete: (name) => change("lvremove", "--yes", `bare/${name}`),
	};
}
