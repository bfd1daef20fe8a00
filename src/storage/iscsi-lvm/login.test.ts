/** Asking a target without open-iscsi and the kernel: a password that it takes or not, which targets there are, and bad answers. */
import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { systemRandom } from "../../lib/random.ts";
import type { Chap } from "./iscsi-text.ts";
import { sendTargets, tryLogin } from "./login.ts";
import { answerChallenge } from "./login-chap.ts";
import type { Portal } from "./names.ts";
import { type FakeTargetOptions, fakeTarget } from "./testing/fake-target.ts";

const target = "iqn.2026-11.test.limiquantix:one";
const user = "node";
const password = "initiator-secret";
const own = { user: "target", password: "target-secret-1" };
const ask = (portal: Portal, chap: Chap | null) => ({
	...{ portal, chap, initiator: "iqn.2026-11.test.limiquantix:node", random: systemRandom, limitMs: 500 },
});
const outcome = (work: Promise<unknown>): Promise<string> =>
	work.then(
		() => "let in",
		(error) =>
			error instanceof AppError
				? `${error.code}${error.context.refused ? " refused" : ""}: ${error.message}`
				: String(error),
	);
async function trying(options: FakeTargetOptions, chap: Chap | null): Promise<string> {
	await using fake = await fakeTarget(options);
	const said = await outcome(tryLogin({ ...ask(fake.portal, chap), target }));
	// It never becomes a session, and says no password.
	expect(fake.sessions()).toBe(0);
	expect(JSON.stringify(fake.heard.map((keys) => [...keys]))).not.toContain("secret");
	return said;
}

test("the right password is let in, a wrong one is refused, and so is none", async () => {
	const locked = { user, password };
	expect(await trying(locked, { user, password, mutual: null })).toBe("let in");
	expect(await trying(locked, { user, password: "not-the-secret", mutual: null })).toMatch(/^storage refused: .*CHAP/);
	expect(await trying(locked, { user: "other", password, mutual: null })).toMatch(/^storage refused: .*CHAP/);
	expect(await trying(locked, null)).toMatch(/^storage refused: .*CHAP/);
	expect(await trying({}, null)).toBe("let in");
	// As open-iscsi does: who asks for no password is given none.
	expect(await trying({}, { user, password, mutual: null })).toBe("let in");
});

test("a target that has to prove itself does, or is left", async () => {
	const mutual = (secret: string): Chap => ({ user, password, mutual: { user: own.user, password: secret } });
	expect(await trying({ user, password, own }, mutual(own.password))).toBe("let in");
	for (const options of [
		{ user, password, own },
		{ user, password },
	])
		expect(await trying(options, mutual("not-its-secret"))).toMatch(/^storage refused: .*prove/);
	expect(await trying({}, mutual(own.password))).toMatch(/^storage: .*refused the login/);
});

test("targets are told, in one PDU or in many, and the password is asked for where it has to be", async () => {
	const targets = Array.from({ length: 40 }, (_, at) => [
		`TargetName=${target}-${at}`,
		`TargetAddress=10.0.0.${at}:3260,1`,
	]);
	for (const partBytes of [8000, 100, 7]) {
		await using fake = await fakeTarget({ user, password, targets: targets.flat(), partBytes });
		const asked = ask(fake.portal, { user, password, mutual: null });
		const found = await sendTargets(asked).catch((error) => error);
		if (partBytes === 7) expect(found).toBeInstanceOf(AppError);
		else {
			expect(found).toHaveLength(40);
			expect(found[39]).toEqual({ target: `${target}-39`, portals: [{ host: "10.0.0.39", port: 3260 }] });
		}
	}
	await using fake = await fakeTarget({ user, password });
	expect(await outcome(sendTargets(ask(fake.portal, null)))).toMatch(
		/^storage refused: iSCSI, asking 127.0.0.1:[0-9]+ for its targets: .*CHAP/,
	);
});

test("a portal that sends on is followed, but not for ever", async () => {
	await using last = await fakeTarget({ user, password });
	const at = ({ portal }: { portal: Portal }) => `${portal.host}:${portal.port}`;
	expect(await trying({ redirectTo: at(last) }, { user, password, mutual: null })).toBe("let in");
	expect(await trying({ redirectTo: at(last) }, { user, password: "not-the-secret", mutual: null })).toContain(
		"refused",
	);
	for (const nowhere of ["not a portal", ":", "[::", "-x:99999"])
		expect(await trying({ redirectTo: nowhere }, null)).toMatch(/^storage: iSCSI, logging in to .*no portal/);
	await using lost = await fakeTarget({ redirectTo: "127.0.0.1:1" });
	await using circle = await fakeTarget({ redirectTo: at(lost) });
	expect(await outcome(tryLogin({ ...ask(circle.portal, null), target }))).toStartWith("storage: iSCSI, logging in to");
});

test("a portal that says nothing, nonsense or too much is given up", async () => {
	const huge = Buffer.alloc(48);
	huge[0] = 0x23;
	huge.writeUIntBE(0xff_ffff, 5, 3);
	const says = [
		Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
		Buffer.alloc(480),
		huge,
		Buffer.alloc(1_000_000, 0x20),
		Buffer.from([]),
	];
	for (const bytes of says) expect(await trying({ says: bytes }, null)).toMatch(/^storage: iSCSI, logging in/);
	expect(await trying({ says: null }, null)).toMatch(/^timeout: .*no answer in time/);
	const closed = await fakeTarget();
	await closed[Symbol.asyncDispose]();
	expect(await outcome(tryLogin({ ...ask(closed.portal, null), target }))).toMatch(/^storage: .*cannot be reached/);
});

test("a challenge without its number is not answered", () => {
	const keys = [
		["CHAP_A", "5"],
		["CHAP_C", "0x0102"],
	] as [string, string][];
	const answer = (more: [string, string][]) =>
		answerChallenge([...keys, ...more], { user, password, mutual: null }, systemRandom);
	for (const bad of [[], [["CHAP_I", ""]], [["CHAP_I", "256"]], [["CHAP_I", "0x1"]], [["CHAP_I", " 1"]]] as [
		string,
		string,
	][][])
		expect(() => answer(bad)).toThrow(AppError);
	expect(answer([["CHAP_I", "0"]]).keys).toHaveLength(2);
});
