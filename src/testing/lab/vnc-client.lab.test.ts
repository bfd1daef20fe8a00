/** The VNC client against QEMU's own server, over each kind of connection, and its pictures against QEMU's own. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { isAppError } from "../../lib/errors.ts";
import { type QemuProcess, startQemu } from "./qemu-process.ts";
import { VncClient, type VncTarget } from "./vnc-client.ts";
import { waitUntil } from "./wait-until.ts";

let qemu: QemuProcess;
let folder: string;
const targets: Record<string, VncTarget> = {};

/** A character is 9 by 16. */
const cursorPixels = 150;

function differingPixels(one: Uint8Array, other: Uint8Array): number {
	let differing = 0;
	for (let at = 0; at < other.length; at += 3)
		if (one[at] !== other[at] || one[at + 1] !== other[at + 1] || one[at + 2] !== other[at + 2]) differing += 1;
	return differing;
}

beforeAll(async () => {
	// No disk: the firmware writes that it found none, and the screen stays as it is for a minute.
	folder = mkdtempSync("/tmp/lqx-vnc-");
	const said = join(folder, "firmware.log");
	qemu = await startQemu({
		cpus: 1,
		memoryMib: 64,
		extraArgs: [
			...["-name", "a name <b>", "-vnc", "127.0.0.1:100,to=199,websocket=on,id=net"],
			...["-chardev", `file,id=firmware,path=${said}`, "-device", "isa-debugcon,iobase=0x402,chardev=firmware"],
		],
	});
	// What it writes on the screen goes there, too, character by character.
	await waitUntil("the firmware to have written its last line", 60_000, () =>
		/No bootable device\..*\n/.test(readFileSync(said, "utf8")),
	);
	const servers = (await qemu.qmp.command("query-vnc-servers")) as {
		server: { host: string; service: string; websocket: boolean; family: string }[];
	}[];
	const listeners = servers.flatMap(({ server }) => server).filter(({ family }) => family !== "unix");
	const port = (websocket: boolean) => Number(listeners.find((one) => one.websocket === websocket)?.service);
	targets.unix = { unixPath: qemu.vncSocketPath };
	targets.tcp = { host: "127.0.0.1", port: port(false) };
	targets.websocket = { url: `ws://127.0.0.1:${port(true)}/`, protocols: ["binary"] };
	const vnc = await VncClient.connect(targets.unix);
	await vnc.waitForScreen((screen) => screen.countDistinctColours() > 1 && screen.width === 720, 30_000);
	await vnc.close();
}, 90_000);

afterAll(async () => {
	await qemu?.[Symbol.asyncDispose]();
	rmSync(folder, { recursive: true, force: true });
});

for (const kind of ["unix", "tcp", "websocket"])
	test(`over ${kind}: name, size and picture of the screen`, async () => {
		const target = targets[kind];
		if (!target) throw new Error(`${kind} is not there`);
		const vnc = await VncClient.connect(target);
		expect(vnc.serverName).toBe("QEMU (a name <b>)");
		expect([vnc.width, vnc.height]).toEqual([720, 400]);
		expect(vnc.protocol).toBe(kind === "websocket" ? "binary" : "");
		const screen = await vnc.screenshot();
		expect(screen.countDistinctColours()).toBeGreaterThan(1);
		// QEMU's own picture of the same screen, but for its blinking cursor.
		const path = join(qemu.directory, `${kind}.ppm`);
		await qemu.qmp.command("screendump", { filename: path });
		const ppm = Buffer.from(await Bun.file(path).arrayBuffer());
		const header = Buffer.from("P6\n720 400\n255\n");
		expect(ppm.subarray(0, header.length)).toEqual(header);
		expect(differingPixels(ppm.subarray(header.length), screen.rgb)).toBeLessThan(cursorPixels);
		await vnc.close();
	});

test("the PNG of a screen is one that others read", async () => {
	const target = targets.unix;
	if (!target) throw new Error("no target");
	const vnc = await VncClient.connect(target);
	const screen = await vnc.screenshot();
	const png = Buffer.from(await screen.toPng());
	const dataAt = png.indexOf("IDAT") + 4;
	const data = inflateSync(png.subarray(dataAt, dataAt + png.readUInt32BE(dataAt - 8)));
	expect(data.length).toBe((720 * 3 + 1) * 400);
	await vnc.close();
});

test("the pointer's buttons and keys are taken without the connection ending", async () => {
	const target = targets.tcp;
	if (!target) throw new Error("no target");
	const vnc = await VncClient.connect(target);
	vnc.sendPointer(10, 20, 1);
	vnc.sendPointer(10, 20, 0);
	vnc.press(0xff0d);
	vnc.sendClipboard("text");
	expect((await vnc.screenshot()).width).toBe(720);
	await vnc.close();
});

test("a server with a password is said to be one", async () => {
	await using guarded = await startQemu({
		cpus: 1,
		memoryMib: 64,
		extraArgs: ["-S", "-vnc", "127.0.0.1:200,to=299,password=on,id=guarded"],
	});
	const servers = (await guarded.qmp.command("query-vnc-servers")) as {
		server: { service: string; family: string }[];
	}[];
	const port = Number(servers.flatMap(({ server }) => server).find(({ family }) => family !== "unix")?.service);
	const error = await VncClient.connect({ host: "127.0.0.1", port }).catch((e: unknown) => e);
	expect(isAppError(error, "unsupported")).toBe(true);
});
