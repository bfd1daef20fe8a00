/**
 * The lab VM: a whole machine for the built executable, with a kernel, a file system and a disk of its own, so that its
 * power can be cut. Emulated (TCG), on an NBD disk that the caller serves. The API is reached over a port of loopback; the
 * guest reaches nothing but the other lab VMs on the same hub.
 *
 * `await using vm = await startLabVm({ … })`; `kill` is the end of a power cut, right after the disk was frozen.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type OperationTypes, operations } from "../../gen/api.ts";
import { type ApiClient, createApiClient } from "../../lib/api-client.ts";
import { present } from "../../lib/assert.ts";
import { AppError, isAppError, toAppError } from "../../lib/errors.ts";
import type { LabVmImage } from "./lab-vm-image.ts";
import { type QemuProcess, startQemu } from "./qemu-process.ts";
import { waitUntil } from "./wait-until.ts";

export type LabVmOptions = {
	image: LabVmImage;
	/** The NBD server of the disk that keeps things. */
	diskSocketPath: string;
	/** 1 to 250: its name is node-N, its address on the hub 10.77.0.N. */
	node?: number;
	/** Ethernet hub that it is on; see ethernet-hub.ts. */
	hubSocketPath?: string;
	/** More of `limiquantix serve`, without blanks in one argument. */
	serve?: readonly string[];
	cpus?: number;
	lifetimeMs?: number;
};

export type LabVm = AsyncDisposable & {
	/** https://127.0.0.1:PORT, with a certificate that nobody has signed. */
	readonly url: string;
	/** What the daemon logged. */
	log(): string;
	/** The serial console: the kernel, the init script, the shell. */
	console(): string;
	/** As `token`, or as nobody. */
	api(token: string | null): ApiClient<OperationTypes>;
	/** Waits until the API answers. Fails with `internal` as soon as the daemon has ended, `unavailable` the machine. */
	healthy(): Promise<void>;
	/** Runs a line in the guest's shell, as root; what it said, standard error included. Fails when it fails. */
	shell(line: string, limitMs?: number): Promise<string>;
	/** SIGKILL to the machine; resolves when it is gone. */
	kill(): Promise<void>;
};

const healthyLimitMs = 400_000;
const bootLimitMs = 300_000;
const askLimitMs = 5_000;
const memoryMib = 640;
const kernelLine = "console=ttyS0 quiet loglevel=4 panic=1 mitigations=off nokaslr no_timer_check";
/** What the init script or the kernel says when nothing will serve any more. */
const endPattern = /LAB-VM (daemon ended|failed).*|Kernel panic.*/;
const daemonEnded = "LAB-VM daemon ended";

export async function startLabVm(options: LabVmOptions): Promise<LabVm> {
	const { image, node = 1 } = options;
	const folder = await mkdtemp(join(tmpdir(), "lqx-lab-vm-"));
	const logPath = join(folder, "daemon.log");
	const remove = () => rm(folder, { recursive: true, force: true });
	let qemu: QemuProcess | null = null;
	try {
		qemu = await startQemu({
			cpus: options.cpus ?? 2,
			memoryMib,
			lifetimeMs: options.lifetimeMs ?? 600_000,
			extraArgs: [
				// The oldest that the executable runs on; emulating newer instructions takes longer.
				...["-cpu", "Nehalem", "-no-reboot", "-device", "virtio-rng-pci"],
				...["-kernel", image.kernelPath, "-initrd", image.initramfsPath],
				...["-append", `${kernelLine} lqx_node=${node} "lqx_serve=${(options.serve ?? []).join(" ")}"`],
				...["-chardev", `file,id=log,path=${logPath}`, "-serial", "chardev:log"],
				...["-blockdev", `driver=nbd,node-name=data,server.type=unix,server.path=${options.diskSocketPath}`],
				...["-device", "virtio-blk-pci,drive=data"],
				...["-blockdev", `driver=file,node-name=product,read-only=on,filename=${image.productDiskPath}`],
				...["-device", "virtio-blk-pci,drive=product"],
				...["-netdev", "user,id=nat,restrict=on,hostfwd=tcp:127.0.0.1:0-:8443"],
				...["-device", `virtio-net-pci,netdev=nat,romfile=,mac=${macOf(0, node)}`],
				...hubArguments(options.hubSocketPath, node),
			],
		});
		return new RunningLabVm(qemu, await forwardedPort(qemu), logPath, remove);
	} catch (error) {
		await qemu?.[Symbol.asyncDispose]();
		await remove();
		throw error;
	}
}

const macOf = (card: number, node: number): string => `52:54:00:6c:0${card}:${node.toString(16).padStart(2, "0")}`;

const hubArguments = (socketPath: string | undefined, node: number): string[] =>
	socketPath === undefined
		? []
		: [
				...["-netdev", `stream,id=hub,server=off,addr.type=unix,addr.path=${socketPath}`],
				...["-device", `virtio-net-pci,netdev=hub,romfile=,mac=${macOf(1, node)}`],
			];

/** QEMU has taken a free port; its user network says which. */
async function forwardedPort(qemu: QemuProcess): Promise<number> {
	const said = await qemu.qmp.command("human-monitor-command", { "command-line": "info usernet" });
	const port = /TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)/.exec(String(said))?.[1];
	return Number(present(port, "the port of loopback in QEMU's list"));
}

class RunningLabVm implements LabVm {
	readonly url: string;
	readonly #qemu: QemuProcess;
	readonly #logPath: string;
	readonly #remove: () => Promise<void>;
	#commands = 0;
	#ended = false;

	constructor(qemu: QemuProcess, port: number, logPath: string, remove: () => Promise<void>) {
		this.url = `https://127.0.0.1:${port}`;
		this.#qemu = qemu;
		this.#logPath = logPath;
		this.#remove = remove;
		const ended = () => {
			this.#ended = true;
		};
		qemu.exited.then(ended, ended);
	}

	log(): string {
		return existsSync(this.#logPath) ? readFileSync(this.#logPath, "utf8") : "";
	}

	console(): string {
		return this.#qemu.serial.text;
	}

	api(token: string | null): ApiClient<OperationTypes> {
		return createApiClient<OperationTypes>(operations, {
			baseUrl: this.url,
			fetch: (address, init) => fetch(address, { ...init, tls: { rejectUnauthorized: false } }),
			headers: (): Record<string, string> => (token === null ? {} : { authorization: `Bearer ${token}` }),
		});
	}

	async healthy(): Promise<void> {
		const giveUp = new AbortController();
		const dead = this.#qemu.serial.waitFor(endPattern, healthyLimitMs).then(
			([line]) => line,
			(error: unknown) => (isAppError(error, "timeout") ? null : "the machine has ended"),
		);
		dead.then((line) => line !== null && giveUp.abort());
		try {
			await waitUntil(
				"the API of the lab VM",
				healthyLimitMs,
				async () => {
					const end = giveUp.signal.aborted ? ((await dead) ?? "") : null;
					if (end !== null)
						throw new AppError(
							end.startsWith(daemonEnded) ? "internal" : "unavailable",
							`The lab VM does not serve: ${end}`,
						);
					const signal = AbortSignal.any([giveUp.signal, AbortSignal.timeout(askLimitMs)]);
					return fetch(`${this.url}/healthz`, { tls: { rejectUnauthorized: false }, keepalive: false, signal }).then(
						(response) => response.status === 200,
						() => false,
					);
				},
				{ everyMs: 50 },
			);
		} catch (error) {
			const { code, message } = toAppError(error);
			throw new AppError(code, `${message}\n${this.console().slice(-1500)}\n${this.log().slice(-3000)}`, {
				cause: error,
			});
		}
	}

	async shell(line: string, limitMs = 60_000): Promise<string> {
		await this.#qemu.serial.waitFor("LAB-VM up", bootLimitMs);
		this.#commands += 1;
		const [begin, end] = [`BEGIN-${this.#commands}`, `END-${this.#commands}`];
		const from = this.#qemu.serial.mark();
		this.#qemu.typeSerial(`echo ${begin}; { ${line}; } < /dev/null 2>&1; code=$?; echo; echo ${end} $code\n`);
		const [, said = "", code] = await this.#qemu.serial.waitFor(
			new RegExp(`${begin}\r?\n([^]*?)\r?\n${end} (\\d+)`),
			limitMs,
			from,
		);
		const text = said.replaceAll("\r\n", "\n").trimEnd();
		if (code !== "0") throw new AppError("internal", `In the lab VM "${line}" ended with ${code}: ${text}`);
		return text;
	}

	async kill(): Promise<void> {
		if (!this.#ended) process.kill(this.#qemu.pid, "SIGKILL");
		await this.#qemu.exited.catch(() => undefined);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#qemu[Symbol.asyncDispose]();
		await this.#remove();
	}
}
