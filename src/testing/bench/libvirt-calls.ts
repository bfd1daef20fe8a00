/** The libvirt client against virsh: one cheap call, and listing 50 running domains with their figures. */
import { createLibvirtDriver } from "../../hypervisor/libvirt/libvirt-driver.ts";
import { createLibvirtClient, type LibvirtClient } from "../../hypervisor/libvirt/rpc/client.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../lab/libvirtd.ts";
import { type Bench, type Figures, median, percentile, round, timed } from "./bench.ts";
import { VirshSession } from "./virsh-session.ts";

const domainCount = 50;
const warmUpRounds = 6;
const rounds = 60;
const virshStats = "domstats --list-active --state --cpu-total --balloon --vcpu --interface --block --nowait";
const uuidOf = (i: number): string => `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`;
/** The smallest machine that runs: what is measured is libvirt, not the guest. It waits in the firmware. */
const domainXml = (i: number): string =>
	`<domain type="qemu"><name>bench-${i}</name><uuid>${uuidOf(i)}</uuid><memory unit="MiB">16</memory><vcpu>1</vcpu>` +
	`<os><type arch="x86_64" machine="q35">hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>` +
	`<memballoon model="none"/></devices></domain>`;

async function withLibvirt(
	action: (libvirtd: PrivateLibvirtd, client: LibvirtClient) => Promise<Figures>,
): Promise<Figures> {
	const libvirtd = await startLibvirtd({ name: "bench" });
	const client = createLibvirtClient({
		uri: libvirtd.uri,
		clock: systemClock,
		random: systemRandom,
		logger: silentLogger,
	});
	try {
		await client.open();
		return await action(libvirtd, client);
	} finally {
		await client.close();
		await libvirtd.stop();
	}
}

export const libvirtCall: Bench = {
	name: "libvirt-call",
	what: "one cheap call (host name), against one virsh process each",
	run: () =>
		withLibvirt(async (libvirtd, client) => {
			const ours: number[] = [];
			const virsh: number[] = [];
			const options = { timeoutMs: 30_000 };
			for (let i = 0; i < 200; i++) await client.connectGetHostname();
			for (let i = 0; i < 40; i++) {
				for (let j = 0; j < 25; j++) ours.push(await timed(() => client.connectGetHostname()));
				virsh.push(await timed(() => run("virsh", ["-c", libvirtd.uri, "hostname"], options)));
			}
			return {
				libvirtCallMedianMs: round(median(ours), 3),
				libvirtCallP99Ms: round(percentile(ours, 0.99), 3),
				virshProcessMedianMs: round(median(virsh), 2),
				libvirtCallRatio: round(median(virsh) / median(ours), 1),
			};
		}),
};

export const libvirtStats: Bench = {
	name: "libvirt-stats",
	what: `list and figures of ${domainCount} running domains, against one persistent virsh session`,
	run: () =>
		withLibvirt(async (libvirtd, client) => {
			for (let i = 0; i < domainCount; i++) {
				await client.domainDefineXMLFlags(domainXml(i));
				await client.domainCreateWithFlags({ uuid: uuidOf(i) });
				await client.domainSuspend({ uuid: uuidOf(i) });
			}
			const driver = createLibvirtDriver({
				client,
				clock: systemClock,
				logger: silentLogger,
				folderOf: (id) => `/tmp/${id}`,
			});
			const virsh = await VirshSession.start(libvirtd.uri);
			const ours: number[] = [];
			const theirs: number[] = [];
			let counted = 0;
			try {
				const takeOurs = async () => ours.push(await timed(async () => (counted = (await driver.stats()).length)));
				const takeTheirs = async () => theirs.push(await timed(() => virsh.command(virshStats)));
				for (let i = 0; i < warmUpRounds + rounds; i++) {
					// In turn who comes first: the second finds the monitors of QEMU awake.
					for (const take of i % 2 === 0 ? [takeOurs, takeTheirs] : [takeTheirs, takeOurs]) await take();
					if (i < warmUpRounds) ours.length = theirs.length = 0;
				}
			} finally {
				await virsh.stop();
				await driver.close();
			}
			return {
				libvirtStatsDomains: counted,
				libvirtStatsMedianMs: round(median(ours)),
				virshSessionStatsMedianMs: round(median(theirs)),
				// Of each round: what slows the machine down slows both.
				libvirtStatsMoreThanVirshMs: round(median(ours.map((ms, at) => ms - (theirs[at] ?? 0)))),
			};
		}),
};
