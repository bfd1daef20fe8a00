/** Randomness as an argument; see clock.ts. */

export interface Random {
	bytes(length: number): Uint8Array;
}

export const systemRandom: Random = {
	bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
};

export const randomHex = (random: Random, byteLength: number): string =>
	Buffer.from(random.bytes(byteLength)).toString("hex");

/** URL-safe secret without padding. 32 bytes make 43 characters. */
export const randomSecret = (random: Random, byteLength = 32): string =>
	Buffer.from(random.bytes(byteLength)).toString("base64url");
