/** Failed sign-ins in the log, however many there are. */
import { expect, test } from "bun:test";
import { type LogFields, silentLogger } from "../lib/log.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { SignInLog } from "./sign-in-log.ts";

function setUp() {
	const lines: LogFields[] = [];
	const clock = new ManualClock();
	const log = new SignInLog(clock, { ...silentLogger, warn: (_message, fields) => void lines.push(fields ?? {}) });
	return { lines, clock, log };
}
const wrong = (remoteAddress: string | null) => ({ remoteAddress, reason: "wrong" as const });

test("one line a second, with the number of the others", () => {
	const { lines, clock, log } = setUp();
	for (let number = 0; number < 500; number++) log.failed(wrong("192.0.2.1"));
	expect(lines).toEqual([{ address: "192.0.2.1", reason: "wrong" }]);
	log.failed({ remoteAddress: "192.0.2.2", reason: "locked" });
	clock.advance(1000);
	expect(lines.slice(1)).toEqual([{ address: "192.0.2.2", reason: "locked", suppressed: 499 }]);
	clock.advance(1000);
	expect([lines.length, clock.waiting]).toEqual([2, 0]);
	log.failed(wrong(null));
	expect(lines.slice(2)).toEqual([{ address: "local socket", reason: "wrong" }]);
});

test("the end says what was not said, and leaves no timer", () => {
	const { lines, clock, log } = setUp();
	log.failed(wrong("192.0.2.1"));
	log.failed(wrong("192.0.2.3"));
	log.close();
	expect(lines.at(-1)).toEqual({ address: "192.0.2.3", reason: "wrong" });
	expect(clock.waiting).toBe(0);
});
