import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { GuestStream } from "./bridge.ts";
import { SerialHub } from "./serial-hub.ts";

/** A serial console whose guest is the test. */
function fakeSerial() {
	let controller: ReadableStreamDefaultController<Uint8Array> | null = null;
	const output = new ReadableStream<Uint8Array>({
		start(given) {
			controller = given;
		},
	});
	const written: string[] = [];
	const state = { closed: false, opened: 0 };
	return {
		state,
		written,
		say: (text: string) => controller?.enqueue(new TextEncoder().encode(text)),
		hangUp: () => controller?.close(),
		open: async () => {
			state.opened += 1;
			return {
				output,
				write: async (data: Uint8Array) => void written.push(new TextDecoder().decode(data)),
				close: async () => {
					state.closed = true;
				},
			};
		},
	};
}

async function watch(hub: SerialHub) {
	let text = "";
	let ended: string | null | undefined;
	let wake = () => {};
	const stream: GuestStream = await hub.watch("vm")({
		onData: (data) => {
			text += new TextDecoder().decode(data);
			wake();
		},
		onWritable: () => wake(),
		onEnd: (reason) => {
			ended = reason;
			wake();
		},
	});
	const until = async (done: () => boolean) => {
		while (!done())
			await new Promise<void>((resolve) => {
				wake = resolve;
			});
	};
	return { stream, until, text: () => text, ended: () => ended };
}

test("all watchers see the same console, opened once; closed with the last", async () => {
	const serial = fakeSerial();
	const hub = new SerialHub(serial.open);
	const [one, two] = await Promise.all([watch(hub), watch(hub)]);
	expect(serial.state.opened).toBe(1);
	serial.say("login: ");
	await Promise.all([one.until(() => one.text() === "login: "), two.until(() => two.text() === "login: ")]);
	one.stream.write(new TextEncoder().encode("root\n"));
	expect(serial.written).toEqual(["root\n"]);
	one.stream.end();
	expect(serial.state.closed).toBe(false);
	serial.say("# ");
	await two.until(() => two.text() === "login: # ");
	expect(one.text()).toBe("login: ");
	two.stream.end();
	expect(serial.state.closed).toBe(true);
});

test("a slow watcher is cut off alone; a paused one gets what it missed", async () => {
	const serial = fakeSerial();
	const hub = new SerialHub(serial.open);
	const [slow, paused, quick] = [await watch(hub), await watch(hub), await watch(hub)];
	slow.stream.pause();
	paused.stream.pause();
	serial.say("a");
	await quick.until(() => quick.text() === "a");
	paused.stream.resume();
	expect(paused.text()).toBe("a");
	const block = "x".repeat(512 * 1024);
	for (let i = 0; i < 3; i++) serial.say(block);
	await quick.until(() => quick.text().length === 1 + 3 * block.length);
	expect(slow.ended()).toBe("The connection is too slow.");
	expect(quick.ended()).toBeUndefined();
});

test("when the VM stops everybody is told, and the next console is a new one", async () => {
	const serial = fakeSerial();
	const hub = new SerialHub(serial.open);
	const one = await watch(hub);
	serial.hangUp();
	await one.until(() => one.ended() !== undefined);
	expect(one.ended()).toBeNull();
	const failing = new SerialHub(async () => {
		throw new AppError("wrong-state", "The VM does not run.");
	});
	await expect(watch(failing)).rejects.toThrow("does not run");
});
