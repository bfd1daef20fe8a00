import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { emptyCloudInit, emptyUser } from "./cloud-init.ts";
import { claimDrafts, dropDrafts, keepDraft, readDraft, withoutPasswords } from "./drafts.ts";

const before = Object.getOwnPropertyDescriptor(globalThis, "sessionStorage");
let stored: Map<string, string>;

beforeEach(() => {
	stored = new Map([["lqx.other", "1"]]);
	const value: Partial<Storage> = {
		getItem: (key) => stored.get(key) ?? null,
		setItem: (key, text) => void stored.set(key, text),
		removeItem: (key) => void stored.delete(key),
		key: (index) => [...stored.keys()][index] ?? null,
		get length() {
			return stored.size;
		},
	};
	Object.defineProperty(globalThis, "sessionStorage", { configurable: true, value });
});
afterEach(() => {
	dropDrafts();
	if (before) Object.defineProperty(globalThis, "sessionStorage", before);
	else Reflect.deleteProperty(globalThis, "sessionStorage");
});

describe("drafts", () => {
	test("wait for who typed them, also through a reload", () => {
		claimDrafts("anna");
		keepDraft("vm-create", { name: "web" });
		keepDraft("vm-settings.1", { vcpus: 2 });
		claimDrafts("anna");
		expect(readDraft<object>("vm-create")).toEqual({ name: "web" });
		keepDraft("vm-create", null);
		expect(readDraft("vm-create")).toBeNull();
		expect(readDraft<object>("vm-settings.1")).toEqual({ vcpus: 2 });
	});

	test("are gone as soon as somebody else is here", () => {
		claimDrafts("anna");
		keepDraft("vm-create", { userData: "secret" });
		claimDrafts("ann");
		expect(readDraft("vm-create")).toBeNull();
		expect([...stored.keys()]).toEqual(["lqx.other"]);
	});

	test("end with signing out; a form that is still open then keeps none", () => {
		claimDrafts("anna");
		for (const form of ["vm-create", "vm-settings.1", "vm-settings.2"]) keepDraft(form, "secret");
		dropDrafts();
		keepDraft("vm-create", "late");
		expect(readDraft("vm-create")).toBeNull();
		expect([...stored.keys()]).toEqual(["lqx.other"]);
		claimDrafts("anna");
		expect(readDraft("vm-create")).toBeNull();
	});

	test("hold no passwords", () => {
		const form = { ...emptyCloudInit(), users: [{ ...emptyUser("anna"), password: "secret" }] };
		expect(JSON.stringify(withoutPasswords(form))).not.toContain("secret");
		expect(withoutPasswords(form).users[0]?.name).toBe("anna");
	});
});
