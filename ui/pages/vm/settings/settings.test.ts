import { describe, expect, test } from "bun:test";
import { GiB } from "../../../../src/lib/units.ts";
import { seed } from "../../../dev/mock/seed.ts";
import { changesByTime, checkSettings, settingsOf, settingsUpdate } from "./values.ts";

const state = seed({ vms: 1 });
const vm = [...state.tables.vm.values()][0];
state.stop();
if (!vm) throw new Error("no VM");
const before = settingsOf(vm);
const hash = async () => "$6$a$b";

describe("settings of a VM", () => {
	test("nothing changed is no update", async () =>
		expect(await settingsUpdate(before, settingsOf(vm), hash)).toBeNull());

	test("only what changed is sent", async () => {
		const after = { ...before, name: "web-99", vcpus: 2, shutdownSeconds: 60, autostart: true, autostartOrder: 5 };
		expect(await settingsUpdate(before, after, hash)).toEqual({
			name: "web-99",
			vcpus: 2,
			shutdownTimeoutMs: 60_000,
			autostart: { enabled: true, order: 5, delayMs: 0 },
		});
	});

	test("the settings of a VM are valid", () => expect(checkSettings(before, 128 * GiB)).toEqual({}));

	test("what cannot be is said at its field", () => {
		const after = { ...before, name: "-", vcpus: 9, maxVcpus: 8, memoryBytes: 200 * GiB, shutdownSeconds: 0 };
		expect(Object.keys(checkSettings(after, 128 * GiB)).sort()).toEqual([
			"/maxMemoryBytes",
			"/maxVcpus",
			"/memoryBytes",
			"/name",
			"/shutdownTimeoutMs",
		]);
	});

	test("changes are sorted by when they apply", () => {
		const after = { ...before, description: "x", vcpus: 4, firmware: "uefi" as const, memoryBytes: 100 * GiB };
		expect(changesByTime(before, after)).toEqual({
			now: ["description"],
			maybe: ["vcpus"],
			restart: ["memoryBytes", "firmware"],
		});
	});
});
