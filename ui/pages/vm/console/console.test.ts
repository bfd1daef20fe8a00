import { describe, expect, test } from "bun:test";
import { ApiError } from "../../../api/errors.ts";
import { ConsoleConnection, type OpenConsole } from "./connection.ts";
import { HeldKeys } from "./held-keys.ts";
import { combinations, keys, typeText } from "./keys.ts";
import { filler, keysOfChange, textChange } from "./touch-typing.ts";

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
	function make(results: ("open" | "fail" | Error)[]) {
		let now = 0;
		const timers: { run: () => void; ms: number }[] = [];
		const opened: { end: (reason: string) => void; closed: boolean }[] = [];
		const connection = new ConsoleConnection(
			async (): Promise<OpenConsole> => {
				const result = results.shift();
				if (result !== "open") throw result instanceof Error ? result : new Error("no");
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
		expect(connection.state.value).toMatchObject({ name: "waiting", attempt: 1, lost: true, reason: "gone" });
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
		expect(connection.state.value).toEqual({ name: "failed", why: "lost", reason: "no" });
	});

	test("what the API refuses is not asked again by itself, but may be by hand", async () => {
		for (const status of [403, 404, 409, 429]) {
			const refusal = new ApiError("why", { status, code: "x", operation: "vmConsoleTicketCreate" });
			const { connection, timers, settle } = make([refusal, "open"]);
			connection.start();
			await settle();
			expect(connection.state.value).toEqual({ name: "failed", why: "refused", reason: "why" });
			expect(timers).toEqual([]);
			connection.start();
			await settle();
			expect(connection.state.value.name).toBe("connected");
		}
	});

	test("a node that is away is asked again; what never opened was not lost", async () => {
		const away = new ApiError("away", { status: 503, code: "unavailable", operation: "vmConsoleTicketCreate" });
		const offline = new ApiError("offline", { status: 0, code: "offline", operation: "vmConsoleTicketCreate" });
		const { connection, settle, fire } = make([away, offline, "open"]);
		connection.start();
		await settle();
		expect(connection.state.value).toMatchObject({ name: "waiting", lost: false, reason: "away" });
		await fire();
		expect(connection.state.value).toMatchObject({ name: "waiting", lost: false, reason: "offline" });
		await fire();
		expect(connection.state.value.name).toBe("connected");
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

describe("HeldKeys", () => {
	test("what is still down is released once, the last first", () => {
		const target = new EventTarget();
		const released: string[] = [];
		target.addEventListener("keyup", (event) => released.push((event as Event & { code: string }).code));
		const held = new HeldKeys((code) => Object.assign(new Event("keyup"), { code }));
		for (const code of ["ControlLeft", "KeyA", "AltLeft", "AltLeft", ""]) held.down({ code, key: "", target });
		held.up({ code: "KeyA" });
		held.releaseAll();
		held.releaseAll();
		expect(released).toEqual(["AltLeft", "ControlLeft"]);
	});
});

describe("on-screen keyboards", () => {
	const codes = (before: string, after: string) =>
		keysOfChange(textChange(before, after)).map((stroke) => stroke.map(({ code, keysym }) => code || keysym).join("+"));

	test("letters, corrections and deletions are keys", () => {
		expect(codes(filler, `${filler}a`)).toEqual(["KeyA"]);
		expect(codes(`${filler}a`, `${filler}aB`)).toEqual(["ShiftLeft+KeyB"]);
		expect(codes(`${filler}teh`, `${filler}the `)).toEqual(["Backspace", "Backspace", "KeyH", "KeyE", "Space"]);
		expect(codes(filler, filler.slice(2))).toEqual(["Backspace", "Backspace"]);
		expect(codes(filler, filler)).toEqual([]);
	});
	test("what no US keyboard has goes by its keysym", () => {
		expect(codes("", "é€")).toEqual([String(0xe9), String(0x010020ac)]);
		expect(codes("😀", "😁")).toEqual(["Backspace", String(0x0101f601)]);
	});
	test("a line ends with Enter", () =>
		expect(keysOfChange({ deleted: 0, typed: "\n" })[0]?.[0]?.keysym).toBe(keys.enter.keysym));
});
