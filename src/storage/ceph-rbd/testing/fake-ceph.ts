/**
 * Ceph's programs as the driver runs them, on a cluster in memory: images with their snapshots, what is kept with them, and objects. It knows
 * what the driver asks for when it makes volumes, snapshots and images, and holds a program back for as long as a test wants. No content.
 */
import { AppError } from "../../../lib/errors.ts";
import type { RunOptions, RunResult, run } from "../../../lib/run.ts";

type FakeImage = { id: string; size: number; snapshots: { id: number; name: string }[]; meta: Map<string, string> };
type Hold = { what: string; begun: () => void; until: Promise<void> };

export class FakeCeph {
	readonly images = new Map<string, FakeImage>();
	readonly objects = new Map<string, { keys: Set<string>; owner: string | null }>();
	/** "rbd snap rollback", in the order of their starts. */
	readonly started: string[] = [];
	readonly #holds: Hold[] = [];
	#lastId = 0;

	/** The programs that are called so wait until `release`; `begun` resolves with the start of the first. */
	hold(what: string): { begun: Promise<void>; release: () => void } {
		const begun = Promise.withResolvers<void>();
		const until = Promise.withResolvers<void>();
		const hold = { what, begun: begun.resolve, until: until.promise };
		this.#holds.push(hold);
		const release = () => {
			this.#holds.splice(this.#holds.indexOf(hold), 1);
			until.resolve();
		};
		return { begun: begun.promise, release };
	}

	/** How often it was started. */
	count = (what: string): number => this.started.filter((one) => one === what).length;

	readonly run: typeof run = async (program, given, options): Promise<RunResult> => {
		const args = withoutOptions(given);
		const words = ["snap", "image-meta", "lock"].includes(args[0] ?? "") ? 2 : 1;
		const what = [program, ...args.slice(0, words)].join(" ");
		this.started.push(what);
		await this.#held(what, options);
		return { exitCode: 0, stdout: this.#answer(what, args.slice(words), given), stderr: "" };
	};

	async #held(what: string, { signal }: RunOptions): Promise<void> {
		const hold = this.#holds.find((one) => one.what === what);
		if (!hold) return;
		hold.begun();
		const canceled = Promise.withResolvers<never>();
		const onAbort = () => canceled.reject(new AppError("canceled", `${what} was canceled.`));
		signal?.addEventListener("abort", onAbort, { once: true });
		await Promise.race([hold.until, canceled.promise]);
	}

	#answer(what: string, operands: readonly string[], given: readonly string[]): string {
		const [first = "", second = "", third = ""] = operands;
		const json = (value: unknown) => JSON.stringify(value);
		switch (what) {
			case "ceph df":
				return json({ pools: [{ name: "vms", stats: { stored: 0, max_avail: 1024 ** 3, quota_bytes: 0 } }] });
			case "rbd ls":
				return json([...this.images.keys()]);
			case "rbd info":
				return json(infoOf(first, this.#image(first)));
			case "rbd create": {
				const size = Number.parseInt(given[given.indexOf("--size") + 1] ?? "", 10);
				this.images.set(nameOf(first), { id: `${++this.#lastId}`, size, snapshots: [], meta: new Map() });
				return "";
			}
			case "rbd rename":
				this.images.set(nameOf(second), this.#image(first));
				this.images.delete(nameOf(first));
				return "";
			case "rbd rm":
				this.#image(first);
				this.images.delete(nameOf(first));
				return "";
			case "rbd du":
				return json({ images: [{ name: nameOf(first), used_size: 0 }] });
			case "rbd status":
				return json({ watchers: [] });
			case "rbd children":
				return json([]);
			case "rbd snap ls":
				return json(this.#image(first).snapshots.map((one) => ({ ...one, size: this.#image(first).size })));
			case "rbd snap create":
				this.#image(first).snapshots.push({ id: ++this.#lastId, name: snapshotOf(first) });
				return "";
			case "rbd snap rm": {
				const image = this.#image(first);
				image.snapshots = image.snapshots.filter(({ name }) => name !== snapshotOf(first));
				return "";
			}
			case "rbd snap rollback":
				this.#image(first);
				return "";
			case "rbd image-meta get":
				return this.#image(first).meta.get(second) ?? missing("rbd");
			case "rbd image-meta set":
				this.#image(first).meta.set(second, third);
				return "";
			case "rados lock info":
				return json({ lockers: [{ name: "client.1", cookie: this.objects.get(first)?.owner ?? missing("rados") }] });
			case "rados lock get":
				this.#object(first).owner = given[given.indexOf("--lock-cookie") + 1] ?? null;
				return "";
			case "rados listomapkeys":
				return [...(this.objects.get(first)?.keys ?? missing("rados"))].join("\n");
			case "rados setomapval":
				this.#object(first).keys.add(second);
				return "";
			case "rados rmomapkey":
				this.#object(first).keys.delete(second);
				return "";
			case "rados stat2":
				return `${first} mtime now, size 0`;
			case "rados rm":
				this.objects.delete(first);
				return "";
		}
		throw new Error(`the fake knows no "${what}"`);
	}

	#image = (spec: string): FakeImage => this.images.get(nameOf(spec)) ?? missing("rbd");

	#object(name: string) {
		const found = this.objects.get(name) ?? { keys: new Set<string>(), owner: null };
		this.objects.set(name, found);
		return found;
	}
}

const withValue = [
	...["--conf", "--keyring", "--id", "--format", "--pool", "--size", "--image-feature"],
	...["--lock-cookie", "--lock-description", "--connect-timeout"],
];

/** The words of a command, and what it is about. */
function withoutOptions(args: readonly string[]): string[] {
	const kept: string[] = [];
	for (let at = 0; at < args.length; at++) {
		const word = args[at] ?? "";
		if (withValue.includes(word)) at++;
		else if (!word.startsWith("--")) kept.push(word);
	}
	return kept;
}

const nameOf = (spec: string): string => spec.replace(/^[^/]*\//, "").replace(/@.*$/, "");
const snapshotOf = (spec: string): string => spec.slice(spec.indexOf("@") + 1);
const infoOf = (spec: string, { id, size }: FakeImage) => ({
	...{ name: nameOf(spec), id, size, flags: [], features: [], modify_timestamp: "now" },
});

function missing(program: string): never {
	throw new AppError("internal", `${program} failed: (2) No such file or directory`, {
		context: { program, exitCode: 2, stderr: "error: (2) No such file or directory" },
	});
}
