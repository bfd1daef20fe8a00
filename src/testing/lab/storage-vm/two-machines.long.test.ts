/** Two storage lab VMs that share a logical unit. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEthernetHub } from "../../power/ethernet-hub.ts";
import { startStorageVm } from "./storage-vm.ts";

const cacheDir = join(import.meta.dir, "../../../../.cache");
const inside = "src/testing/lab/storage-vm/inside";
const serial = "2f9a6c1e-53b8-4d07-8e6a-1c0d9b7f4e25";
const disk = "/dev/disk/by-id/wwn-0x60014052f9a6c1e53b84d078e6a1c0d9";
const logIn = (node: number): string => `
	echo InitiatorName=iqn.2026-11.test.limiquantix:node-${node} > /etc/iscsi/initiatorname.iscsi
	iscsid && iscsiadm -m discovery -t sendtargets -p 10.88.0.2 && iscsiadm -m node --login
	until test -b ${disk}; do sleep 0.1; done`;
const write = (text: string): string =>
	`echo ${text} | dd of=${disk} bs=512 count=1 conv=sync oflag=direct status=none`;
const read = `dd if=${disk} bs=512 count=1 iflag=direct status=none | tr -d '\\0'`;

test("two machines use one logical unit; one that stood still goes on", async () => {
	const folder = await mkdtemp(join(tmpdir(), "lqx-hub-"));
	const hub = await startEthernetHub(join(folder, "hub"));
	try {
		const machine = (node: number) => startStorageVm({ cacheDir, hub: { socketPath: hub.socketPath, node } });
		await using one = await machine(1);
		await using two = await machine(2);
		await one.shell(
			`
			setsid bun /repo/${inside}/serve-iscsi.ts ${serial} > /run/serve 2>&1 &
			until grep ready /run/serve; do kill -0 $! || { cat /run/serve; exit 1; }; sleep 0.1; done`,
			120_000,
		);
		await Promise.all([one.shell(logIn(1)), two.shell(logIn(2))]);
		await one.shell(write("first"));
		expect(await two.shell(read)).toBe("first");
		await two.pause();
		await one.shell(write("second"));
		await two.resume();
		expect(await two.shell(read)).toBe("second");
	} finally {
		await hub.close();
		await rm(folder, { recursive: true, force: true });
	}
}, 300_000);
