/**
 * One QEMU, started directly (no libvirt), for tests of what runs inside it: emulated, no default devices, a serial
 * port, QMP, VNC on a unix socket, an optional disk and network. Everything lives in a temporary folder that goes away
 * with it: `await using guest = await startQemu({ … })`.
 */
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { QmpClient } from "./qmp-client.ts";
import { SerialLog } from "./serial-log.ts";

export type QemuOptions = {
	/** Base image in qcow2 form; the guest writes to an overlay of its own. */
	diskQcow2?: string;
	/** Instead of an overlay, this qcow2 file itself, which is written to. */
	writableQcow2?: string;
	firmware?: "bios" | "uefi";
	cpus?: number;
	memoryMib?: number;
	/** A NIC on QEMU's own NAT, which answers DHCP with 10.0.2.15. */
	network?: boolean;
	extraArgs?: readonly string[];
	/** The process is ended after this long, whatever happens (default 120 s). */
	lifetimeMs?: number;
};

export type QemuProcess = AsyncDisposable & {
	readonly directory: string;
	readonly pid: number;
	readonly vncSocketPath: string;
	readonly qmp: QmpClient;
	readonly serial: SerialLog;
	/** Resolves when QEMU has ended by itself; rejects when it failed or was ended by its limit. */
	readonly exited: Promise<void>;
	/** Writes to the serial port as if typed. */
	typeSerial(text: string): void;
};

const ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const ovmfVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/** Fails with `unavailable` (no QEMU), `timeout` or `internal` (QEMU refused its arguments; the message says why). */
export async function startQemu(options: QemuOptions): Promise<QemuProcess> {
	const directory = await mkdtemp(join(tmpdir(), "lqx-qemu-"));
	const stop = new AbortController();
	const serial = new SerialLog();
	let port: Socket | undefined;
	const serialServer = await listenForOne(join(directory, "serial"), (socket) => {
		port = socket;
		socket.on("data", (bytes: Buffer) => serial.append(bytes)).on("error", () => socket.destroy());
	});
	const { promise: qmpSocket, resolve: onQmp } = Promise.withResolvers<Socket>();
	const qmpServer = await listenForOne(join(directory, "qmp"), onQmp);

	let pid = 0;
	const running = run("qemu-system-x86_64", await qemuArgs(options, directory), {
		timeoutMs: options.lifetimeMs ?? 120_000,
		signal: stop.signal,
		onStart: (started) => {
			pid = started;
		},
	});
	const exited = running.then(() => undefined);
	exited.catch((error) => serial.end(error)).finally(() => serial.end());
	const cleanUp = async () => {
		stop.abort();
		await exited.catch(() => undefined);
		serialServer.close();
		qmpServer.close();
		await rm(directory, { recursive: true, force: true });
	};
	try {
		const early = exited.then(() => {
			throw new AppError("internal", "QEMU ended before it was ready.");
		});
		const qmp = await QmpClient.open(await Promise.race([qmpSocket, early]));
		return {
			directory,
			pid,
			vncSocketPath: join(directory, "vnc"),
			qmp,
			serial,
			exited,
			typeSerial: (text) => void port?.write(text),
			[Symbol.asyncDispose]: cleanUp,
		};
	} catch (error) {
		await cleanUp();
		throw error;
	}
}

async function qemuArgs(options: QemuOptions, directory: string): Promise<string[]> {
	const args = ["-machine", "q35", "-accel", "tcg,thread=multi", "-nodefaults", "-no-user-config", "-vga", "std"];
	args.push("-smp", String(options.cpus ?? 2), "-m", String(options.memoryMib ?? 256));
	args.push("-display", "none", "-vnc", `unix:${join(directory, "vnc")}`);
	args.push("-chardev", `socket,id=serial,path=${join(directory, "serial")}`, "-serial", "chardev:serial");
	args.push("-chardev", `socket,id=qmp,path=${join(directory, "qmp")}`, "-mon", "chardev=qmp,mode=control");
	if (options.firmware === "uefi") {
		const variables = join(directory, "variables.fd");
		await copyFile(ovmfVariables, variables);
		args.push("-drive", `if=pflash,format=raw,readonly=on,file=${ovmfCode}`);
		args.push("-drive", `if=pflash,format=raw,file=${variables}`);
	}
	const disk = options.diskQcow2 ? await overlay(options.diskQcow2, directory) : options.writableQcow2;
	if (disk) {
		args.push("-blockdev", `driver=qcow2,node-name=disk,file.driver=file,file.filename=${disk}`);
		args.push("-device", "virtio-blk-pci,drive=disk,bootindex=1");
	}
	if (options.network) args.push("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net");
	return [...args, ...(options.extraArgs ?? [])];
}

async function overlay(base: string, directory: string): Promise<string> {
	const path = join(directory, "disk.qcow2");
	await run("qemu-img", ["create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path], { timeoutMs: 10_000 });
	return path;
}

/** A unix socket that QEMU connects to, so that nothing it says at the start is lost. */
function listenForOne(path: string, onConnection: (socket: Socket) => void) {
	const server = createServer((socket) => {
		server.close();
		onConnection(socket);
	});
	return new Promise<typeof server>((resolve, reject) => {
		server.once("error", reject);
		server.listen(path, () => resolve(server));
	});
}
