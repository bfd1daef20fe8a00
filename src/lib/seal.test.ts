/** Sealed secrets open with their key, in their place, unchanged; in no other case. */
import { expect, test } from "bun:test";
import { systemRandom as random } from "./random.ts";
import { seal, sealedWith, sealKeyId, unseal } from "./seal.ts";

const [key, other] = [random.bytes(32), random.bytes(32)];

test("what was sealed opens again, and is never sealed to the same bytes", () => {
	const text = JSON.stringify({ cephKey: "AQBx==", word: "Grüße" });
	const [one, two] = [seal(text, "pool:a", key, random), seal(text, "pool:a", key, random)];
	expect(one).not.toBe(two);
	expect(sealedWith(one)).toBe(sealKeyId(key));
	expect(unseal(one, "pool:a", key)).toBe(text);
	expect(unseal(two, "pool:a", key)).toBe(text);
	expect(one).not.toContain(Buffer.from(key).toString("base64url").slice(0, 12));
});

test("another place, another key, and any changed byte are refused", () => {
	const sealed = seal("secret", "pool:a", key, random);
	const refused = (text: string, context = "pool:a", with_ = key) =>
		expect(() => unseal(text, context, with_)).toThrow(expect.objectContaining({ code: "corrupt" }));
	refused(sealed, "pool:b");
	refused(sealed, "pool:a", other);
	const [head, bytes = ""] = [sealed.slice(0, sealed.lastIndexOf(".") + 1), sealed.split(".")[2]];
	const raw = Buffer.from(bytes, "base64url");
	for (let at = 0; at < raw.length; at += 1) {
		const changed = Buffer.from(raw);
		changed[at] = (changed[at] ?? 0) ^ 1;
		refused(head + changed.toString("base64url"));
	}
	for (const text of ["", "v1.x.y", sealed.slice(0, -30), "v2".concat(sealed.slice(2))]) refused(text);
	expect(() => sealedWith("v1.x.y")).toThrow(expect.objectContaining({ code: "corrupt" }));
});
