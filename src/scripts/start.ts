/**
 * `npm start`: builds, finds or starts a libvirtd, starts a node in the foreground and says where it is. `-- --demo`
 * also makes and boots a small VM. `-- --stop` ends what an earlier start left running. Other arguments go to
 * `limiquantix serve`.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fingerprintOf } from "../api/tls.ts";
import { loadConfig } from "../config.ts";
import { probeAccelerator } from "../hypervisor/accelerator-probe.ts";
import { run } from "../lib/run.ts";
import { hostSubnets } from "../network/host-subnets.ts";
import { buildGuestImage } from "../testing/lab/guest-image.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";
import { build } from "./build.ts";
import { ensurePrivateLibvirt, stopPrivateLibvirt } from "./private-libvirt.ts";
import { root } from "./root.ts";

const args = process.argv.slice(2);
const demo = args.includes("--demo");
const serveArgs = args.filter((argument) => argument !== "--demo" && argument !== "--stop");
const say = (text: string): void => console.log(`» ${text}`);

if (args.includes("--stop")) {
	say(
		(await stopPrivateLibvirt()) ? "The private libvirtd and its VMs have ended." : "No private libvirtd is running.",
	);
	process.exit(0);
}

const config = loadConfig(serveArgs, process.env);
const socketPath = join(config.runDir, "limiquantix.sock");
if (await health()) {
	say(`A node is running already, with its data in ${config.dataDir}.`);
	if (demo) await bootDemo();
	await report();
	process.exit(0);
}

const executable = await build();
const demoImage = await makeDemoImage();
const libvirt = await chooseLibvirt();
const child = Bun.spawn(
	[
		executable,
		"serve",
		...["--libvirt", libvirt.uri, "--log-format", "text"],
		...(demoImage ? ["--demo-image", demoImage] : []),
		...serveArgs,
	],
	{ cwd: root, stdin: "ignore", stdout: "inherit", stderr: "inherit" },
);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
child.exited.then((code) => {
	if (libvirt.private) say("VMs go on running. End them with: npm start -- --stop");
	process.exit(code);
});
try {
	await waitUntil("the node to answer", 60_000, async () => (await health()) ?? undefined);
	if (demo) await bootDemo();
	await report();
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	child.kill("SIGTERM");
	await child.exited;
	process.exit(1);
}

/** Where the VMs run: the system's libvirtd where it works, else a private one, without /dev/kvm where that is broken. */
async function chooseLibvirt(): Promise<{ uri: string; private: boolean }> {
	if (serveArgs.includes("--libvirt")) return { uri: config.libvirtUri, private: false };
	const systemd = existsSync("/run/systemd/system");
	const probe = existsSync("/dev/kvm") ? await probeAccelerator() : null;
	const kvmBroken = probe !== null && probe.accelerator !== "kvm";
	if (systemd && !kvmBroken) {
		await run("systemctl", ["mask", "libvirt-guests.service"], { timeoutMs: 30_000 });
		await run("systemctl", ["start", "libvirtd.service"], { timeoutMs: 60_000 });
		say("libvirtd: the system's (libvirt-guests is masked: autostart is the node's own)");
		return { uri: "qemu:///system", private: false };
	}
	const record = await ensurePrivateLibvirt({ showKvm: probe?.accelerator === "kvm" });
	say(`libvirtd: a private one, process ${record.pid} (${systemd ? "KVM does not work here" : "no systemd here"})`);
	return { uri: record.uri, private: true };
}

async function makeDemoImage(): Promise<string | null> {
	try {
		mkdirSync(join(root, ".cache"), { recursive: true });
		return (await buildGuestImage({ cacheDir: join(root, ".cache") })).qcow2Path;
	} catch (error) {
		say(`The demo image could not be built: ${error instanceof Error ? error.message : error}`);
		if (demo) process.exit(1);
		return null;
	}
}

type Health = { version: string; nodeId: string };

async function health(): Promise<Health | null> {
	if (!existsSync(socketPath)) return null;
	try {
		return (await (await fetch("http://localhost/healthz", { unix: socketPath })).json()) as Health;
	} catch {
		return null;
	}
}

async function local<T>(method: string, path: string, body?: unknown): Promise<T> {
	const response = await fetch(`http://localhost${path}`, {
		unix: socketPath,
		method,
		...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
	});
	if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
	return (await response.json()) as T;
}

/** Makes the demo VM, or starts the one that there is, and waits until its system says that it is ready. */
async function bootDemo(): Promise<void> {
	type DemoVm = { id: string; name: string; status: { powerState: string; error: { message: string } | null } };
	await waitUntil("the storage pool to be ready", 60_000, async () => {
		const pools = await local<{ items: { phase: string }[] }>("GET", "/v1/pools");
		return pools.items.some((pool) => pool.phase === "ready");
	});
	const existing = (await local<{ items: DemoVm[] }>("GET", "/v1/vms?limit=1000")).items.find(
		(vm) => vm.name === "demo",
	);
	if (existing?.status.powerState === "stopped") await local("POST", `/v1/vms/${existing.id}/actions/start`);
	const vm = existing ?? (await local<DemoVm>("POST", "/v1/vms/actions/create-demo"));
	say(`Demo VM ${vm.name}: starting`);
	await waitUntil("the demo VM to run", 180_000, async () => {
		const { status } = await local<DemoVm>("GET", `/v1/vms/${vm.id}`);
		if (status.powerState === "failed") throw new Error(`The demo VM failed: ${status.error?.message}`);
		return status.powerState === "running" || undefined;
	});
	await waitUntil("the demo VM to boot", 180_000, async () => {
		const log = await fetch(`http://localhost/v1/vms/${vm.id}/serial-log`, { unix: socketPath });
		return (await log.text()).includes("LIMIQUANTIX-GUEST READY") || undefined;
	});
	say(`Demo VM ${vm.name}: booted. Its screen: ${address()}/vms/${vm.id}/console`);
}

function address(host = config.listen.host): string {
	const shown = ["::", "0.0.0.0"].includes(host) ? "localhost" : host;
	return `${config.insecureHttp ? "http" : "https"}://${shown.includes(":") ? `[${shown}]` : shown}:${config.listen.port}`;
}

/** For people at another machine; null when the node listens on one address only. */
function addressFromElsewhere(): string | null {
	if (!["::", "0.0.0.0"].includes(config.listen.host)) return null;
	const first = hostSubnets()[0];
	return first ? address(first.address) : null;
}

async function report(): Promise<void> {
	const elsewhere = addressFromElsewhere();
	say(`LimiQuantix is ready: ${address()}/${elsewhere ? ` (from another machine: ${elsewhere}/)` : ""}`);
	const passwordPath = join(config.dataDir, "initial-admin-password");
	if (existsSync(passwordPath)) say(`Sign in as "admin"; the first password is in ${passwordPath}`);
	if (config.insecureHttp) return;
	const certificate = await Bun.file(join(config.dataDir, "tls", "cert.pem")).text();
	say(`The certificate is self-signed. Its SHA-256 fingerprint: ${fingerprintOf(certificate)}`);
}
