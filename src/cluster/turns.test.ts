/** Who joins admits nobody, and the other way round. */
import { expect, test } from "bun:test";
import { Turns } from "./turns.ts";

test("a node that joins refuses those that come, until its join has come to nothing", async () => {
	const turns = new Turns();
	turns.beginJoin();
	let worked = false;
	const admit = () =>
		turns.admit(async () => {
			worked = true;
			return "admitted";
		});
	expect(() => turns.checkAdmits()).toThrow("is joining another cluster itself");
	await expect(admit()).rejects.toMatchObject({
		code: "wrong-state",
		message: expect.stringContaining("is joining another cluster itself"),
	});
	expect(worked).toBe(false);
	expect(() => turns.beginJoin()).toThrow("joining a cluster already");
	turns.endJoin();
	expect(await admit()).toBe("admitted");
});

test("a node that is admitting somebody does not join, until that is done or has failed", async () => {
	const turns = new Turns();
	const { promise, reject } = Promise.withResolvers<never>();
	const admitting = turns.admit(() => promise);
	expect(() => turns.beginJoin()).toThrow("just admitting another one");
	reject(new Error("not this one"));
	await expect(admitting).rejects.toThrow("not this one");
	turns.beginJoin();
});

test("a node that becomes a cluster of its own neither joins nor admits, until that has failed, and does not while it joins", () => {
	const turns = new Turns();
	turns.beginAnew();
	expect(() => turns.beginJoin()).toThrow("joining a cluster already");
	expect(() => turns.checkAdmits()).toThrow("joining another cluster itself");
	turns.endJoin();
	turns.beginJoin();
	expect(() => turns.beginAnew()).toThrow("joining a cluster already");
});
