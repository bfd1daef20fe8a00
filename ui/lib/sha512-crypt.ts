/**
 * SHA-512-crypt ("$6$"), as crypt(3) makes it, after U. Drepper's "Unix crypt using SHA-256 and SHA-512" (version
 * 0.4), on WebCrypto. Used to turn a guest's password into the hash that cloud-init takes, so that the password
 * itself never leaves the browser. Tested against glibc.
 */
const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const defaultRounds = 5000;

/** `salt`: up to 16 characters of the crypt alphabet; longer ones are cut. Takes about half a second. */
export async function sha512Crypt(password: string, salt: string, rounds = defaultRounds): Promise<string> {
	const count = Math.min(999_999_999, Math.max(1000, rounds));
	const cutSalt = salt.slice(0, 16);
	const key = new TextEncoder().encode(password);
	const saltBytes = new TextEncoder().encode(cutSalt);

	const b = await digest(key, saltBytes, key);
	const parts: Uint8Array[] = [key, saltBytes, repeated(b, key.length)];
	for (let bits = key.length; bits > 0; bits >>= 1) parts.push(bits & 1 ? b : key);
	const a = await digest(...parts);

	const dp = await digest(...Array.from({ length: key.length }, () => key));
	const p = repeated(dp, key.length);
	const ds = await digest(...Array.from({ length: 16 + (a[0] ?? 0) }, () => saltBytes));
	const s = repeated(ds, saltBytes.length);

	let c = a;
	for (let round = 0; round < count; round++) {
		const odd = (round & 1) === 1;
		c = await digest(odd ? p : c, ...(round % 3 !== 0 ? [s] : []), ...(round % 7 !== 0 ? [p] : []), odd ? c : p);
	}
	const prefix = count === defaultRounds && rounds === defaultRounds ? "$6$" : `$6$rounds=${count}$`;
	return `${prefix}${cutSalt}$${encode(c)}`;
}

/** 16 random characters of the crypt alphabet. */
export function randomSalt(): string {
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	return Array.from(bytes, (byte) => alphabet[byte & 63]).join("");
}

async function digest(...parts: Uint8Array[]): Promise<Uint8Array> {
	const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return new Uint8Array(await crypto.subtle.digest("SHA-512", whole));
}

function repeated(block: Uint8Array, length: number): Uint8Array {
	const out = new Uint8Array(length);
	for (let at = 0; at < length; at += block.length) out.set(block.subarray(0, Math.min(block.length, length - at)), at);
	return out;
}

/** Bytes 0/21/42, 22/43/1, … three at a time, least significant six bits first; the last byte alone. */
function encode(bytes: Uint8Array): string {
	let out = "";
	let [x, y, z] = [0, 21, 42];
	for (let group = 0; group < 21; group++) {
		out += base64(((bytes[x] ?? 0) << 16) | ((bytes[y] ?? 0) << 8) | (bytes[z] ?? 0), 4);
		[x, y, z] = [y + 1, z + 1, x + 1];
	}
	return out + base64(bytes[63] ?? 0, 2);
}

function base64(value: number, characters: number): string {
	let out = "";
	let rest = value;
	for (let i = 0; i < characters; i++) {
		out += alphabet[rest & 63];
		rest >>>= 6;
	}
	return out;
}
