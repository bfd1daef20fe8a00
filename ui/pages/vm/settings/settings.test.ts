import { describe, expect, test } from "bun:test";
import { GiB } from "../../../../src/lib/units.ts";
import { seed } from "../../../dev/mock/seed.ts";
import { changesOn, draftOf } from "./draft.ts";
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

	test("the settings of a VM are valid", () => expect(checkSettings(before, before, 128 * GiB)).toEqual({}));

	test("what cannot be is said at its field", () => {
		const after = { ...before, name: "-", vcpus: 9, maxVcpus: 8, memoryBytes: 200 * GiB, shutdownSeconds: 0 };
		expect(Object.keys(checkSettings(before, after, 128 * GiB)).sort()).toEqual([
			"/memoryBytes",
			"/name",
			"/shutdownTimeoutMs",
			"/vcpus",
		]);
	});

	test("what is above its maximum is said under the field that was changed", () => {
		const errors = (change: Partial<typeof before>) => checkSettings(before, { ...before, ...change }, 2000 * GiB);
		const [vcpus, memory] = [before.maxVcpus ?? 0, before.maxMemoryBytes ?? 0];
		expect(errors({ vcpus: vcpus + 1 })).toEqual({ "/vcpus": `More than the maximum (${vcpus}). Raise that first.` });
		expect(Object.keys(errors({ maxVcpus: (before.vcpus ?? 0) - 1 }))).toEqual(["/maxVcpus"]);
		expect(Object.keys(errors({ memoryBytes: memory + GiB }))).toEqual(["/memoryBytes"]);
		expect(errors({ memoryBytes: memory + GiB })["/memoryBytes"]).toContain("GiB");
		expect(Object.keys(errors({ maxMemoryBytes: (before.memoryBytes ?? 0) - GiB / 2 }))).toEqual(["/maxMemoryBytes"]);
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

describe("the draft", () => {
	const changed = { ...before, description: "mine", vcpus: (before.vcpus ?? 0) + 1 };

	test("only what was changed is kept", () => {
		expect(draftOf(3, before, before)).toBeNull();
		expect(draftOf(3, before, changed)).toEqual({
			generation: 3,
			changes: { description: "mine", vcpus: (before.vcpus ?? 0) + 1 },
		});
	});

	test("passwords are not", () => {
		const user = {
			name: "anna",
			sudo: true,
			sshKeys: "",
			passwordKind: "password",
			password: "secret",
			passwordHash: "",
		};
		const cloudInit = { ...before.cloudInit, kind: "form", users: [user] } as unknown as typeof before.cloudInit;
		const draft = draftOf(1, before, { ...before, cloudInit });
		expect(draft?.changes.cloudInit?.users[0]).toMatchObject({ name: "anna", password: "" });
		expect(JSON.stringify(draft)).not.toContain("secret");
	});

	test("what somebody else changed in between stays, and what is so by now is no change", () => {
		const draft = draftOf(3, before, changed);
		const now = { ...before, name: "renamed", description: "mine" };
		expect(changesOn(now, draft)).toEqual({ vcpus: changed.vcpus });
		expect(changesOn(changed, draft)).toBeNull();
		expect(changesOn(before, null)).toBeNull();
		expect(changesOn(before, { generation: 1, changes: { gone: 1 } as object })).toBeNull();
	});
});
