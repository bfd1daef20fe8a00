/** The parts of authentication, each alone. */
import { describe, expect, spyOn, test } from "bun:test";
import { systemRandom } from "../lib/random.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { addressKey, FailureLimiter } from "./failure-limiter.ts";
import { hasOwnOrigin, isOwnOrigin } from "./origin.ts";
import { createPasswordHasher } from "./passwords.ts";
import { hashSecret, newSecret, secretKind } from "./secrets.ts";

describe("failures", () => {
	const options = { free: 2, firstDelayMs: 1000, maxDelayMs: 5000, forgetAfterMs: 60_000, maxKeys: 3 };

	test("cost nothing, then twice as much each time, up to a maximum", () => {
		const clock = new ManualClock();
		const limiter = new FailureLimiter(clock, options);
		const waits: number[] = [];
		for (let i = 0; i < 7; i++) {
			limiter.fail("a");
			waits.push(limiter.waitMs("a"));
		}
		expect(waits).toEqual([0, 0, 1000, 2000, 4000, 5000, 5000]);
		expect(limiter.waitMs("b")).toBe(0);
		clock.advance(4999);
		expect(limiter.waitMs("a")).toBe(1);
		clock.advance(1);
		expect(limiter.waitMs("a")).toBe(0);
	});

	test("are forgotten after a while, or with a success", () => {
		const clock = new ManualClock();
		const limiter = new FailureLimiter(clock, options);
		for (let i = 0; i < 4; i++) limiter.fail("a");
		clock.advance(2000 + 60_001);
		limiter.fail("a");
		expect(limiter.waitMs("a")).toBe(0);
		for (let i = 0; i < 4; i++) limiter.fail("b");
		limiter.succeed("b");
		expect(limiter.waitMs("b")).toBe(0);
		expect(limiter.size).toBe(1);
	});

	test("taken back one by one leave the others", () => {
		const limiter = new FailureLimiter(new ManualClock(), options);
		for (let i = 0; i < 4; i++) limiter.fail("a");
		limiter.takeBack("a");
		limiter.fail("a");
		expect(limiter.waitMs("a")).toBe(2000);
		limiter.takeBack("never");
		expect(limiter.size).toBe(1);
	});

	test("are kept for a bounded number of keys; who failed longest ago goes", () => {
		const limiter = new FailureLimiter(new ManualClock(), options);
		for (const key of ["a", "b", "c", "a", "a", "d", "e"]) limiter.fail(key);
		expect(limiter.size).toBe(3);
		expect(limiter.waitMs("a")).toBe(1000);
		for (let i = 0; i < 10_000; i++) limiter.fail(`x${i}`);
		expect(limiter.size).toBe(3);
	});

	test("an address is one customer's", () => {
		expect(addressKey("192.0.2.1")).toBe("192.0.2.1");
		expect(addressKey("::ffff:192.0.2.1")).toBe("192.0.2.1");
		expect(addressKey("2001:db8:1:2:3:4:5:6")).toBe(addressKey("2001:db8:1:2::9"));
		expect(addressKey("2001:db8::1")).not.toBe(addressKey("2001:db8:0:1::1"));
		expect(addressKey("::1")).toBe("0:0:0:0");
	});
});

describe("passwords", () => {
	const quick = () => createPasswordHasher({ memoryCost: 8, timeCost: 1 });

	test("are argon2id, and only match themselves", async () => {
		const hasher = createPasswordHasher();
		const hash = await hasher.hash("secret");
		expect(hash).toStartWith("$argon2id$v=19$m=19456,t=3,p=1$");
		expect(await hasher.verify("secret", hash)).toBe(true);
		expect(await hasher.verify("Secret", hash)).toBe(false);
		expect(await hasher.verify("nobody has this password", null)).toBe(false);
	});

	test("two at once, sixteen wait, more are refused before they cost anything", async () => {
		const hasher = quick();
		const all = Array.from({ length: 30 }, () => hasher.hash("x"));
		expect(hasher.load()).toEqual({ running: 2, waiting: 16 });
		const results = await Promise.allSettled(all);
		expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(18);
		for (const result of results)
			if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "too-many-requests" });
		expect(hasher.load()).toEqual({ running: 0, waiting: 0 });
		await hasher.hash("again");
	});

	test("for a user that does not exist the same work is done", async () => {
		const hasher = createPasswordHasher();
		const hash = await hasher.hash("secret");
		const verify = spyOn(Bun.password, "verify");
		try {
			expect(await hasher.verify("secret", hash)).toBe(true);
			expect(await hasher.verify("secret", null)).toBe(false);
			// Algorithm, version, memory, passes, lanes: all that the time depends on.
			const parameters = verify.mock.calls.map(([, used]) => String(used).split("$").slice(1, 4).join("$"));
			expect(parameters).toEqual(["argon2id$v=19$m=19456,t=3,p=1", "argon2id$v=19$m=19456,t=3,p=1"]);
		} finally {
			verify.mockRestore();
		}
	});
});

test("secrets: of two kinds, told apart by their form", () => {
	for (const kind of ["session", "token"] as const) {
		const { secret, secretHash } = newSecret(kind, systemRandom);
		expect(secretKind(secret)).toBe(kind);
		expect(secretHash).toMatch(/^[0-9a-f]{64}$/);
		expect(hashSecret(secret)).toBe(secretHash);
		expect(newSecret(kind, systemRandom).secret).not.toBe(secret);
	}
	for (const text of [
		"",
		"lqs_",
		"lqx_short",
		`lqz_${"a".repeat(43)}`,
		`lqs_${"a".repeat(44)}`,
		`lqs_${"a".repeat(42)}'`,
	])
		expect(secretKind(text)).toBeNull();
});

test("an origin is ours when scheme, host and port are those that were asked", () => {
	const from = (origin: string | null, secure = true, host = "node-1:8443") =>
		hasOwnOrigin(new Headers({ host, ...(origin === null ? {} : { origin }) }), secure);
	expect(from("https://node-1:8443")).toBe(true);
	expect(from("https://NODE-1:8443")).toBe(true);
	expect(from("https://node-1", true, "node-1")).toBe(true);
	for (const origin of [
		null,
		"null",
		"",
		"https://node-1",
		"https://node-1:8444",
		"http://node-1:8443",
		"https://node-1:8443.evil.example",
		"https://evil.example",
	])
		expect(from(origin)).toBe(false);
	expect(isOwnOrigin(new Request("https://a:1/x", { headers: { host: "a:1", origin: "https://a:1" } }))).toBe(true);
	expect(isOwnOrigin(new Request("http://a:1/x", { headers: { host: "a:1", origin: "https://a:1" } }))).toBe(false);
});
