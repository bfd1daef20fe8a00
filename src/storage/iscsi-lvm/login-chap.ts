/** CHAP as iSCSI uses it (RFC 7143, 12.1; RFC 1994), with MD5, which is what open-iscsi uses unless told otherwise. Pure. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Random } from "../../lib/random.ts";
import type { Chap } from "./iscsi-text.ts";
import { type Keys, notUnderstood, textFor } from "./login-pdu.ts";

export const chapAlgorithm = "5";
const ownChallengeBytes = 16;
const maxChallengeBytes = 1024;

/** "0x…" or "0b…" (base64). */
function binary(text: string | null): Uint8Array {
	const bytes = /^0x([0-9a-f]{2})+$/i.test(text ?? "")
		? Buffer.from((text ?? "").slice(2), "hex")
		: /^0b[A-Za-z0-9+/]+={0,2}$/i.test(text ?? "")
			? Buffer.from((text ?? "").slice(2), "base64")
			: null;
	if (bytes === null || bytes.length > maxChallengeBytes) throw notUnderstood();
	return bytes;
}

const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString("hex")}`;

export const chapResponse = (id: number, secret: string, challenge: Uint8Array): Uint8Array =>
	createHash("md5").update(Uint8Array.of(id)).update(secret).update(challenge).digest();

export type ChapAnswer = {
	keys: Keys /** Of a target that has to prove itself: what it says then. */;
	proves(keys: Keys): boolean;
};

/** What is said to the target's challenge, and asked of it in turn where it has to prove itself. */
export function answerChallenge(keys: Keys, { user, password, mutual }: Chap, random: Random): ChapAnswer {
	const said = textFor(keys, "CHAP_I") ?? "";
	const id = Number(said);
	if (textFor(keys, "CHAP_A") !== chapAlgorithm || !/^[0-9]{1,3}$/.test(said) || id > 255) throw notUnderstood();
	const challenge = binary(textFor(keys, "CHAP_C"));
	const answer: [string, string][] = [
		["CHAP_N", user],
		["CHAP_R", hex(chapResponse(id, password, challenge))],
	];
	if (mutual === null) return { keys: answer, proves: () => true };
	const own = random.bytes(ownChallengeBytes + 1);
	const [ownId = 0, ownChallenge] = [own[0], own.subarray(1)];
	const expected = chapResponse(ownId, mutual.password, ownChallenge);
	return {
		keys: [...answer, ["CHAP_I", `${ownId}`], ["CHAP_C", hex(ownChallenge)]],
		proves(said) {
			const response = textFor(said, "CHAP_R");
			if (response === null || textFor(said, "CHAP_N") !== mutual.user) return false;
			const bytes = binary(response);
			return bytes.length === expected.length && timingSafeEqual(bytes, expected);
		},
	};
}
