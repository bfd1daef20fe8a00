/**
 * A VNC server small enough for a mock (RFB 3.8, RFC 6143): no security, raw encoding, a picture with a text-like
 * pattern that changes with the keys that come in. Enough to see that the console draws, types and reconnects.
 */
export const screenWidth = 640;
export const screenHeight = 400;

type Send = (bytes: Uint8Array<ArrayBuffer>) => void;

export class MockVnc {
	private buffer = new Uint8Array(0);
	private stage: "version" | "security" | "init" | "normal" = "version";
	/** Keysyms of the keys that went down, for tests. */
	readonly keys: number[] = [];
	/** Each key event: "+ffe3" went down, "-ffe3" came up. */
	readonly keyEvents: string[] = [];
	clipboard = "";
	private painted = 0;

	constructor(
		private readonly send: Send,
		private readonly name: string,
	) {
		send(new TextEncoder().encode("RFB 003.008\n") as Uint8Array<ArrayBuffer>);
	}

	receive(bytes: Uint8Array): void {
		const whole = new Uint8Array(this.buffer.length + bytes.length);
		whole.set(this.buffer);
		whole.set(bytes, this.buffer.length);
		this.buffer = whole;
		while (this.consume()) {
			// One message after the other.
		}
	}

	private take(length: number): DataView | null {
		if (this.buffer.length < length) return null;
		const view = new DataView(this.buffer.buffer, this.buffer.byteOffset, length);
		this.buffer = this.buffer.slice(length);
		return view;
	}

	private consume(): boolean {
		switch (this.stage) {
			case "version":
				if (!this.take(12)) return false;
				this.send(Uint8Array.of(1, 1));
				this.stage = "security";
				return true;
			case "security":
				if (!this.take(1)) return false;
				this.send(Uint8Array.of(0, 0, 0, 0));
				this.stage = "init";
				return true;
			case "init":
				if (!this.take(1)) return false;
				this.send(this.serverInit());
				this.stage = "normal";
				return true;
			default:
				return this.message();
		}
	}

	private message(): boolean {
		const type = this.buffer[0];
		if (type === undefined) return false;
		const view = new DataView(this.buffer.buffer, this.buffer.byteOffset);
		if (type === 0) return this.take(20) !== null;
		if (type === 2) {
			if (this.buffer.length < 4) return false;
			return this.take(4 + 4 * view.getUint16(2)) !== null;
		}
		if (type === 3) {
			const request = this.take(10);
			if (!request) return false;
			const incremental = request.getUint8(1) === 1;
			if (!incremental || this.keys.length !== this.painted) this.send(this.picture());
			else setTimeout(() => this.send(this.picture()), 1000).unref?.();
			return true;
		}
		if (type === 4) {
			const key = this.take(8);
			if (!key) return false;
			this.keyEvents.push(`${key.getUint8(1) === 1 ? "+" : "-"}${key.getUint32(4).toString(16)}`);
			if (key.getUint8(1) === 1) {
				this.keys.push(key.getUint32(4));
				this.send(this.picture());
			}
			return true;
		}
		if (type === 5) return this.take(6) !== null;
		if (type === 6) {
			if (this.buffer.length < 8) return false;
			const length = view.getInt32(4);
			const text = this.take(8 + Math.abs(length));
			if (!text) return false;
			this.clipboard = new TextDecoder("latin1").decode(new Uint8Array(text.buffer, text.byteOffset + 8));
			return true;
		}
		if (type === 255) return this.take(12) !== null;
		return this.take(this.buffer.length) !== null;
	}

	private serverInit(): Uint8Array<ArrayBuffer> {
		const name = new TextEncoder().encode(this.name);
		const bytes = new Uint8Array(24 + name.length);
		const view = new DataView(bytes.buffer);
		view.setUint16(0, screenWidth);
		view.setUint16(2, screenHeight);
		bytes.set([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0], 4);
		view.setUint32(20, name.length);
		bytes.set(name, 24);
		return bytes;
	}

	private picture(): Uint8Array<ArrayBuffer> {
		this.painted = this.keys.length;
		const bytes = new Uint8Array(16 + screenWidth * screenHeight * 4);
		const view = new DataView(bytes.buffer);
		view.setUint16(2, 1);
		view.setUint16(8, screenWidth);
		view.setUint16(10, screenHeight);
		for (let y = 0; y < screenHeight; y++) {
			for (let x = 0; x < screenWidth; x++) bytes.set(pixel(x, y, this.keys.length), 16 + (y * screenWidth + x) * 4);
		}
		return bytes;
	}
}

/** Rows of light blocks on black, like a boot log; one more block for each key. BGRX. */
export function pixel(x: number, y: number, keys: number): [number, number, number, number] {
	const row = Math.floor(y / 16);
	const column = Math.floor(x / 8);
	const inside = y % 16 >= 3 && y % 16 < 13 && x % 8 >= 1 && x % 8 < 7;
	if (row === 20) return inside && column <= keys ? [120, 220, 90, 0] : [0, 0, 0, 0];
	const length = ((row * 37) % 55) + 12;
	const word = (column * 7 + row * 13) % 9 !== 0;
	return inside && word && row > 1 && row < 19 && column > 1 && column < length ? [190, 190, 190, 0] : [0, 0, 0, 0];
}
