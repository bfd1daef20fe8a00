/** A QEMU that is stopped (as one whose disk is dead hangs) does not take the figures of the others along. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { stepLimitMs, testLimitMs, useLibvirtLab } from "../../testing/lab/libvirt-session.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { smallDomain, withDisk } from "../test-domain.ts";

const session = useLibvirtLab("statistics");
/** Between two samples of the node's figures. */
const roundMs = 5_000;

test(
	"figures of the others go on within one round; all are there when it goes on",
	async () => {
		const { lab } = session;
		const ids: string[] = [];
		for (const number of [41, 42, 43]) {
			const disk = await lab.makeDisk(`figures-${number}.qcow2`, "qcow2", 16 * MiB);
			const { id } = await session.start(withDisk(smallDomain(number, lab.vmFolder(number)), "disk-0", disk));
			ids.push(id);
		}
		const [hanging = "", ...others] = ids;
		const figures = async () => (await lab.driver.stats()).map(({ id }) => id).sort();
		expect(await figures()).toEqual(ids);
		const { folder, namespace } = lab.libvirtd;
		const innerPid = Number(readFileSync(join(folder, `run/qemu/lqx-${hanging}.pid`), "utf8"));
		const pid = present(namespace.outerPid(innerPid), "the QEMU process");
		process.kill(pid, "SIGSTOP");
		try {
			for (let round = 0; round < 3; round++) {
				const beganMs = performance.now();
				expect(await figures()).toEqual(others);
				expect(performance.now() - beganMs).toBeLessThan(roundMs);
			}
			// The rest of the driver does not wait for it either.
			expect((await lab.driver.getDomain(hanging))?.powerState).toBe("running");
		} finally {
			process.kill(pid, "SIGCONT");
		}
		await waitUntil("the figures of all", stepLimitMs, async () => (await figures()).length === ids.length);
		for (const id of ids) {
			await lab.driver.destroy(id);
			await lab.driver.undefine(id);
		}
	},
	testLimitMs,
);

test(
	"with five of six hanging the sixth keeps figures, and libvirtd goes on answering",
	async () => {
		const { lab } = session;
		const ids: string[] = [];
		for (const number of [51, 52, 53, 54, 55, 56]) {
			const { id } = await session.start(smallDomain(number, lab.vmFolder(number)));
			ids.push(id);
		}
		const healthy = ids.at(-1) ?? "";
		const figures = () => lab.driver.stats();
		expect(await figures()).toHaveLength(ids.length);
		const { folder, namespace } = lab.libvirtd;
		const pids = ids.slice(0, -1).map((id) => {
			const innerPid = Number(readFileSync(join(folder, `run/qemu/lqx-${id}.pid`), "utf8"));
			return present(namespace.outerPid(innerPid), "the QEMU process");
		});
		for (const pid of pids) process.kill(pid, "SIGSTOP");
		try {
			for (let round = 0; round < 3; round++) {
				await figures();
				expect((await lab.driver.getDomain(healthy))?.powerState).toBe("running");
			}
			const beganMs = performance.now();
			const before = (await figures()).find(({ id }) => id === healthy);
			const after = (await figures()).find(({ id }) => id === healthy);
			expect(performance.now() - beganMs).toBeLessThan(roundMs);
			expect(present(after, "its figures").cpuTimeNs).toBeGreaterThanOrEqual(present(before, "its figures").cpuTimeNs);
			expect(await lab.driver.listDomains()).toHaveLength(ids.length);
		} finally {
			for (const pid of pids) process.kill(pid, "SIGCONT");
		}
		await waitUntil("the figures of all", stepLimitMs, async () => {
			const found = await figures();
			return found.length === ids.length && found.every(({ diskReadBytes }) => diskReadBytes !== null);
		});
		for (const id of ids) {
			await lab.driver.destroy(id);
			await lab.driver.undefine(id);
		}
	},
	testLimitMs,
);
