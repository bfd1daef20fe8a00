import { describe, expect, test } from "bun:test";
import { ApiError } from "../api/errors.ts";
import { Form } from "./form.ts";

// Focus goes to the first bad field after a frame; there is no page here.
globalThis.requestAnimationFrame ??= () => 0;

const make = (submit: (values: { name: string; size: number }) => Promise<void>) =>
	new Form({
		initial: { name: "", size: 1 },
		validate: ({ name, size }): Record<string, string> => ({
			...(name === "" ? { "/name": "needed" } : {}),
			...(size > 9 ? { "/size": "too large" } : {}),
		}),
		submit,
	});

describe("Form", () => {
	test("an error shows once its field was touched, or after a try", async () => {
		const form = make(async () => {});
		expect(form.error("/name")).toBeNull();
		form.set({ size: 10 });
		expect(form.error("/size")).toBe("too large");
		expect(form.error("/name")).toBeNull();
		expect(await form.submit()).toBe(false);
		expect(form.error("/name")).toBe("needed");
	});

	test("what the API says lands under its field and goes when that is changed", async () => {
		const form = make(async () => {
			throw new ApiError("not valid", {
				status: 422,
				code: "invalid",
				operation: "x",
				fields: [
					{ path: "/name", message: "taken" },
					{ path: "/disks/0/poolId", message: "full" },
				],
			});
		});
		form.set({ name: "a" });
		expect(await form.submit()).toBe(false);
		expect(form.error("/name")).toBe("taken");
		expect(form.failure.value?.message).toBe("not valid");
		expect(form.otherErrors).toEqual({ "/disks/0/poolId": "full" });
		form.set({ name: "b" });
		expect(form.error("/name")).toBeNull();
		expect(form.busy.value).toBe(false);
	});

	test("a second submit while the first is under way does nothing", async () => {
		let calls = 0;
		let finish = () => {};
		const form = make(() => {
			calls += 1;
			return new Promise((resolve) => {
				finish = resolve;
			});
		});
		form.set({ name: "a" });
		const first = form.submit();
		expect(await form.submit()).toBe(false);
		finish();
		expect(await first).toBe(true);
		expect(calls).toBe(1);
	});

	test("dirty is about values, not about touching", () => {
		const form = make(async () => {});
		form.set({ name: "a" });
		expect(form.dirty.value).toBe(true);
		form.set({ name: "" });
		expect(form.dirty.value).toBe(false);
	});
});
