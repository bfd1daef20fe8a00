import { describe, expect, test } from "bun:test";
import { effect } from "@preact/signals";
import { Collection } from "./collection.ts";

type Thing = { id: string; value: number };
type Answer = { items: Thing[]; nextPageToken: string | null };

/** A collection whose pages are answered by hand and whose changes become visible on `flush`. */
function make(options: { limit?: number } = {}) {
	const asked: { token: string | null; answer: (answer: Answer) => void; fail: (error: Error) => void }[] = [];
	let scheduled: (() => void) | null = null;
	const collection = new Collection<Thing>({
		load: (token) => new Promise((answer, fail) => asked.push({ token, answer, fail })),
		...options,
		prune: (items) => items.sort((a, b) => b.value - a.value).slice(0, 2),
		schedule: (flush) => {
			scheduled = flush;
		},
	});
	const flush = () => {
		scheduled?.();
		scheduled = null;
	};
	const values = () => Object.fromEntries(collection.items.value.map(({ id, value }) => [id, value]));
	const settle = () => new Promise<void>((resolve) => queueMicrotask(() => queueMicrotask(resolve)));
	return { collection, asked, flush, values, settle };
}
const thing = (id: string, value: number): Thing => ({ id, value });
const change = (id: string, value: number | null) => ({ id, object: value === null ? null : thing(id, value) });

describe("Collection", () => {
	test("events that come while the list loads are applied after it, in order", async () => {
		const { collection, asked, values } = make();
		const done = collection.ensure();
		collection.apply([change("a", 2), change("b", 1)]);
		collection.apply([change("b", null)]);
		asked[0]?.answer({ items: [thing("a", 1), thing("b", 0)], nextPageToken: null });
		await done;
		expect(values()).toEqual({ a: 2 });
		expect(collection.state.value).toBe("ready");
	});

	test("events before anybody asked are ignored", () => {
		const { collection, values, flush } = make();
		collection.apply([change("a", 1)]);
		flush();
		expect(values()).toEqual({});
	});

	test("pages are shown as they come", async () => {
		const { collection, asked, values, flush, settle } = make();
		const done = collection.ensure();
		asked[0]?.answer({ items: [thing("a", 1)], nextPageToken: "t" });
		await settle();
		flush();
		expect(values()).toEqual({ a: 1 });
		expect([collection.state.value, collection.partial.value]).toEqual(["ready", true]);
		expect(asked[1]?.token).toBe("t");
		asked[1]?.answer({ items: [thing("b", 2)], nextPageToken: null });
		await done;
		expect(values()).toEqual({ a: 1, b: 2 });
		expect(collection.partial.value).toBe(false);
	});

	test("reading anew removes what is gone and keeps showing the old until then", async () => {
		const { collection, asked, values } = make();
		const first = collection.ensure();
		asked[0]?.answer({ items: [thing("a", 1), thing("b", 1)], nextPageToken: null });
		await first;
		const second = collection.reload();
		expect(values()).toEqual({ a: 1, b: 1 });
		asked[1]?.answer({ items: [thing("b", 2)], nextPageToken: null });
		await second;
		expect(values()).toEqual({ b: 2 });
	});

	test("a list that fails keeps what was shown and says so", async () => {
		const { collection, asked, values } = make();
		const first = collection.ensure();
		asked[0]?.fail(new Error("away"));
		await first;
		expect([collection.state.value, collection.error.value?.message]).toEqual(["error", "away"]);
		const second = collection.reload();
		asked[1]?.answer({ items: [thing("a", 1)], nextPageToken: null });
		await second;
		expect(collection.state.value).toBe("ready");
		const third = collection.reload();
		asked[2]?.fail(new Error("away again"));
		await third;
		expect([collection.state.value, collection.error.value?.message]).toEqual(["ready", "away again"]);
		expect(values()).toEqual({ a: 1 });
	});

	test("an object's signal changes only with that object, once a frame", async () => {
		const { collection, asked, flush } = make();
		const done = collection.ensure();
		asked[0]?.answer({ items: [thing("a", 1), thing("b", 1)], nextPageToken: null });
		await done;
		const seen: (number | undefined)[] = [];
		const stop = effect(() => {
			seen.push(collection.one("a").value?.value);
		});
		collection.apply([change("b", 2)]);
		flush();
		collection.apply([change("a", 2)]);
		collection.apply([change("a", 3)]);
		flush();
		collection.apply([change("a", null)]);
		flush();
		stop();
		expect(seen).toEqual([1, 3, undefined]);
	});

	test("a bound holds", async () => {
		const { collection, asked, values, flush } = make({ limit: 2 });
		const done = collection.ensure();
		asked[0]?.answer({ items: [], nextPageToken: null });
		await done;
		collection.apply([change("a", 1), change("b", 2), change("c", 3)]);
		flush();
		expect(values()).toEqual({ b: 2, c: 3 });
	});
});
