import { describe, expect, test } from "bun:test";
import { ConsoleConnection, type OpenConsole } from "./connection.ts";
import { combinations, typeText } from "./keys.ts";

describe("typeText", () => {
	test("letters, signs and lines as on a US keyboard", () => {
		const { strokes, untypable } = typeText("aA?\r\n");
		expect(strokes.map(({ code, shift }) => `${code}${shift ? "+" : ""}`)).toEqual([
			"KeyA",
			"KeyA+",
			"Slash+",
			"Enter",
		]);
		expect(untypable).toEqual([]);
	});
	test("what the keyboard does not have is named once", () => {
		expect(typeText("é-é-😀").untypable).toEqual(["é", "😀"]);
	});
	test("every printable ASCII character can be typed, by one position and shift each", () => {
		const all = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join("");
		const { strokes, untypable } = typeText(all);
		expect(untypable).toEqual([]);
		expect(new Set(strokes.map(({ code, shift }) => `${code}${shift}`)).size).toBe(95);
	});
	test("combinations have ids of their own", () => {
		expect(new Set(combinations.map(({ id }) => id)).size).toBe(combinations.length);
	});
});

describe("ConsoleConnection", () => {
	function make(results: ("open" | "fail")[]) {
		let now = 0;
		const timers: { run: () => void; ms: number }[] = [];
		const opened: { end: (reason: string) => void; closed: boolean }[] = [];
		const connection = new ConsoleConnection(
			async (): Promise<OpenConsole> => {
				if (results.shift() !== "open") throw new Error("no");
				const entry = { end: (_: string) => {}, closed: false };
				const ended = new Promise<string>((resolve) => {
					entry.end = resolve;
				});
				opened.push(entry);
				const close = () => {
					entry.closed = true;
				};
				return { viewOnly: false, ended, close };
			},
			() => now,
			(run, ms) => {
				timers.push({ run, ms });
				return 0 as unknown as ReturnType<typeof setTimeout>;
			},
		);
		const settle = () => new Promise((resolve) => setImmediate(resolve));
		const fire = async () => {
			timers.shift()?.run();
			await settle();
		};
		return { connection, opened, timers, settle, fire, pass: (ms: number) => (now += ms) };
	}

	test("comes back after a break, at once when it had settled", async () => {
		const { connection, opened, timers, settle, fire, pass } = make(["open", "open"]);
		connection.start();
		await settle();
		expect(connection.state.value).toEqual({ name: "connected", viewOnly: false });
		pass(60_000);
		opened[0]?.end("gone");
		await settle();
		expect(connection.state.value).toMatchObject({ name: "waiting", attempt: 1, reason: "gone" });
		expect(timers[0]?.ms).toBe(500);
		await fire();
		expect(connection.state.value.name).toBe("connected");
	});

	test("waits longer each time, and gives up", async () => {
		const { connection, timers, settle, fire } = make([]);
		connection.start();
		await settle();
		const waits: number[] = [];
		while (connection.state.value.name === "waiting") {
			waits.push(timers[0]?.ms ?? 0);
			await fire();
		}
		expect(waits).toEqual([1000, 2000, 4000, 8000, 15_000, 30_000, 30_000]);
		expect(connection.state.value).toEqual({ name: "failed", reason: "no" });
	});

	test("a stop while it opens closes what was opened", async () => {
		const { connection, opened, settle } = make(["open"]);
		connection.start();
		connection.stop();
		await settle();
		expect(opened[0]?.closed).toBe(true);
		expect(connection.state.value.name).toBe("closed");
	});

	test("starting again while connected changes nothing", async () => {
		const { connection, opened, settle } = make(["open", "open"]);
		connection.start();
		await settle();
		connection.start();
		await settle();
		expect(opened.length).toBe(1);
	});
});
