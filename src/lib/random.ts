/** Randomness as an argument; see clock.ts. */

export interface Random {
	bytes(length: number): Uint8Array;
}

export const systemRandom: Random = {
	bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
};

export const randomHex = (random: Random, byteLength: number): string =>
	Buffer.from(random.bytes(byteLength)).toString("hex");

/** In [0, 1), in steps of 2^-32. */
export const randomRatio = (random: Random): number =>
	new DataView(random.bytes(4).slice().buffer).getUint32(0) / 2 ** 32;

/** URL-safe secret without padding. 32 bytes make 43 characters. */
export const randomSecret = (random: Random, byteLength = 32): string =>
	Buffer.from(random.bytes(byteLength)).toString("base64url");
