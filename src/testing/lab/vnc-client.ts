/**
 * A small RFB 3.8 client for tests and benchmarks (RFC 6143): security type None, 32-bit true colour, raw encoding and
 * the DesktopSize pseudo-encoding. One reader loop keeps the framebuffer; whoever asks for a picture waits for it.
 */
import { assert } from "../../lib/assert.ts";
import { AppError } from "../../lib/errors.ts";
import { type ByteStream, openByteStream, type StreamTarget } from "./byte-stream.ts";
import {
	checkedSize,
	clientCutText,
	corrupt,
	encodings,
	handshake,
	keyEvent,
	pointerEvent,
	readText,
	serverMessages,
	updateRequest,
} from "./rfb-protocol.ts";
import { Screenshot } from "./screenshot.ts";
import { isShiftedOnUsKeyboard, keysymOf, keysyms } from "./vnc-keys.ts";

export type { StreamTarget as VncTarget } from "./byte-stream.ts";

/** Bits of the pointer's button mask. */
export const pointerButtons = { none: 0, left: 1, middle: 2, right: 4, wheelUp: 8, wheelDown: 16 } as const;

type Waiter = { resolve: () => void; reject: (error: unknown) => void };

export class VncClient {
	readonly serverName: string;
	/** Framebuffer updates received so far, and the bytes of pixels in them. */
	updates = 0;
	pixelBytes = 0;
	readonly #stream: ByteStream;
	#width: number;
	#height: number;
	/** Blue, green, red, unused: as the server sends them. */
	#pixels: Buffer;
	#coveredPixels = 0;
	#onUpdate: Waiter[] = [];
	#failure: AppError | undefined;

	private constructor(stream: ByteStream, width: number, height: number, serverName: string) {
		this.#stream = stream;
		this.#width = width;
		this.#height = height;
		this.#pixels = Buffer.alloc(width * height * 4);
		this.serverName = serverName;
		this.#readMessages().catch((error: unknown) => this.#fail(error));
	}

	/**
	 * Connects and shakes hands. Fails with `unavailable` (refused or closed), `timeout`, `unsupported` (wants a
	 * password) or `corrupt` (does not speak RFB).
	 */
	static async connect(target: StreamTarget, options: { timeoutMs?: number } = {}): Promise<VncClient> {
		const timeoutMs = options.timeoutMs ?? 10_000;
		const stream = await openByteStream(target, timeoutMs);
		try {
			const { width, height, name } = await within(timeoutMs, "the VNC handshake", handshake(stream));
			return new VncClient(stream, width, height, name);
		} catch (error) {
			stream.close();
			throw error;
		}
	}

	get width(): number {
		return this.#width;
	}

	get height(): number {
		return this.#height;
	}

	/** The WebSocket subprotocol that the server chose; empty elsewhere. */
	get protocol(): string {
		return this.#stream.protocol;
	}

	/** Resolves when the connection has ended, with the WebSocket close code if there is one. */
	get closed(): Promise<number | undefined> {
		return this.#stream.closed;
	}

	/** Asks for the whole screen and resolves with it. Follows the server when the screen changes size meanwhile. */
	async screenshot(options: { timeoutMs?: number } = {}): Promise<Screenshot> {
		const collect = async () => {
			this.#coveredPixels = 0;
			this.#requestUpdate(false);
			while (this.#coveredPixels < this.#width * this.#height) await this.#nextUpdate();
		};
		await within(options.timeoutMs ?? 10_000, "a picture of the screen", collect());
		return this.picture();
	}

	/** The screen as far as it is known, without asking the server. */
	picture(): Screenshot {
		const count = this.#width * this.#height;
		const rgb = new Uint8Array(count * 3);
		for (let index = 0; index < count; index++) {
			rgb[index * 3] = this.#pixels[index * 4 + 2] ?? 0;
			rgb[index * 3 + 1] = this.#pixels[index * 4 + 1] ?? 0;
			rgb[index * 3 + 2] = this.#pixels[index * 4] ?? 0;
		}
		return new Screenshot(this.#width, this.#height, rgb);
	}

	/** Asks for what changes and resolves when something has, or with false after `timeoutMs`. */
	async waitForChange(timeoutMs: number): Promise<boolean> {
		this.#requestUpdate(true);
		try {
			await within(timeoutMs, "a change of the screen", this.#nextUpdate());
			return true;
		} catch (error) {
			if (error instanceof AppError && error.code === "timeout") return false;
			throw error;
		}
	}

	/**
	 * Looks at the screen, at once and after each change, until `wanted` is content with it. Fails with `timeout`; the
	 * last picture is then in `picture()`.
	 */
	async waitForScreen(wanted: (screen: Screenshot) => boolean, timeoutMs: number): Promise<Screenshot> {
		const deadline = performance.now() + timeoutMs;
		for (;;) {
			const left = deadline - performance.now();
			if (left <= 0) throw new AppError("timeout", `The screen did not become as wanted within ${timeoutMs} ms.`);
			const screen = await this.screenshot({ timeoutMs: left });
			if (wanted(screen)) return screen;
			await this.waitForChange(Math.max(0, Math.min(1000, deadline - performance.now())));
		}
	}

	/** Presses or releases one key, by X11 keysym. */
	sendKey(keysym: number, down: boolean): void {
		this.#stream.write(keyEvent(keysym, down));
	}

	/** Presses the keys in order and releases them in reverse: `press(keysyms.control, keysymOf("c"))`. */
	press(...keys: number[]): void {
		for (const key of keys) this.sendKey(key, true);
		for (const key of keys.reverse()) this.sendKey(key, false);
	}

	/**
	 * Types text as on a US keyboard ("\n" is Return). After each key it waits for the screen to change, at most 250 ms:
	 * a guest's keyboard buffer holds only a few keys.
	 */
	async typeText(text: string): Promise<void> {
		for (const character of text) {
			const keysym = keysymOf(character);
			if (isShiftedOnUsKeyboard(character)) this.press(keysyms.shift, keysym);
			else this.press(keysym);
			await this.waitForChange(250);
		}
	}

	/** Absolute position in pixels; `buttons` is a mask of pointerButtons. */
	sendPointer(x: number, y: number, buttons = 0): void {
		this.#stream.write(pointerEvent(x, y, buttons));
	}

	/** Puts text (Latin-1) on the server's clipboard. */
	sendClipboard(text: string): void {
		this.#stream.write(clientCutText(text));
	}

	/** Sends bytes as they are, for tests of what a proxy lets through. */
	sendRaw(bytes: Uint8Array): void {
		this.#stream.write(bytes);
	}

	async close(): Promise<void> {
		this.#stream.close();
		await this.#stream.closed;
	}

	#requestUpdate(incremental: boolean): void {
		this.#stream.write(updateRequest(incremental, this.#width, this.#height));
	}

	#nextUpdate(): Promise<void> {
		if (this.#failure) return Promise.reject(this.#failure);
		return new Promise((resolve, reject) => this.#onUpdate.push({ resolve, reject }));
	}

	#fail(error: unknown): void {
		this.#failure = error instanceof AppError ? error : corrupt(String(error));
		this.#stream.close();
		for (const waiter of this.#onUpdate.splice(0)) waiter.reject(this.#failure);
	}

	async #readMessages(): Promise<never> {
		for (;;) {
			const type = (await this.#stream.read(1)).readUInt8();
			if (type === serverMessages.framebufferUpdate) await this.#readUpdate();
			else if (type === serverMessages.cutText) {
				await this.#stream.read(3);
				await readText(this.#stream);
			} else if (type !== serverMessages.bell) throw corrupt(`unknown message type ${type}`);
		}
	}

	async #readUpdate(): Promise<void> {
		const count = (await this.#stream.read(3)).readUInt16BE(1);
		for (let index = 0; index < count; index++) await this.#readRectangle();
		this.updates += 1;
		for (const waiter of this.#onUpdate.splice(0)) waiter.resolve();
	}

	async #readRectangle(): Promise<void> {
		const head = await this.#stream.read(12);
		const [x, y] = [head.readUInt16BE(0), head.readUInt16BE(2)];
		const [width, height] = [head.readUInt16BE(4), head.readUInt16BE(6)];
		const encoding = head.readInt32BE(8);
		if (encoding === encodings.desktopSize) return this.#resize(width, height);
		if (encoding !== encodings.raw) throw corrupt(`unknown encoding ${encoding}`);
		if (x + width > this.#width || y + height > this.#height) throw corrupt("a rectangle outside the screen");
		const pixels = await this.#stream.read(width * height * 4);
		for (let row = 0; row < height; row++)
			pixels.copy(this.#pixels, ((y + row) * this.#width + x) * 4, row * width * 4, (row + 1) * width * 4);
		this.#coveredPixels += width * height;
		this.pixelBytes += pixels.length;
	}

	#resize(width: number, height: number): void {
		[this.#width, this.#height] = checkedSize(width, height);
		this.#pixels = Buffer.alloc(width * height * 4);
		this.#coveredPixels = 0;
		this.#requestUpdate(false);
	}
}

async function within<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
	assert(timeoutMs >= 0, "a limit is not negative");
	const { promise: late, reject } = Promise.withResolvers<never>();
	const timer = setTimeout(
		() => reject(new AppError("timeout", `No ${what.replace(/^(a|the) /, "")} within ${Math.round(timeoutMs)} ms.`)),
		timeoutMs,
	);
	try {
		return await Promise.race([work, late]);
	} finally {
		clearTimeout(timer);
	}
}
