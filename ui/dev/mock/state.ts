/** The mock's state: objects by kind, events, and tasks that take their time. In memory, for developing the UI only. */
import type { Event } from "../../../src/model/event.ts";
import type { PoolOrphan } from "../../../src/model/pool-orphan.ts";
import type { ResourceKind, ResourceRef } from "../../../src/model/schema.ts";
import type { Task, TaskKind } from "../../../src/model/task.ts";
import type { LiveObjects, Snapshot } from "../../api/types.ts";
import { MockMembers } from "./members.ts";

type Objects = LiveObjects & { snapshot: Snapshot };
export type MockKind = keyof Objects;
export type Tables = { [Kind in MockKind]: Map<string, Objects[Kind]> };
export type TaskSteps = {
	/** How many steps it takes; each is one tick. */
	steps: number;
	messages?: readonly string[];
	input?: Task["input"];
	/** Its message when it has succeeded. */
	found?: () => string | null;
	cancelable?: boolean;
	onStep?: (step: number) => void;
	/** A thrown error fails the task. */
	onDone?: () => void;
	onFailed?: (message: string) => void;
};

const keptEvents = 5000;

export class MockState {
	readonly tables: Tables = {
		node: new Map(),
		vm: new Map(),
		volume: new Map(),
		snapshot: new Map(),
		pool: new Map(),
		image: new Map(),
		network: new Map(),
		task: new Map(),
		user: new Map(),
		session: new Map(),
		token: new Map(),
		joinToken: new Map(),
	};
	readonly members: MockMembers;
	/** By pool. */
	readonly orphans = new Map<string, PoolOrphan[]>();
	/** Ids of volumes that a check finds damaged. */
	readonly damaged = new Set<string>();
	readonly events: Event[] = [];
	readonly listeners = new Set<(event: Event) => void>();
	readonly requester = { kind: "user" as const, id: null as string | null, name: "admin" };
	private index = 100;
	private serial = 0;
	private readonly timers = new Set<ReturnType<typeof setTimeout>>();
	private held: (() => void)[] | null = null;

	constructor(
		readonly nodeId: string,
		/** Milliseconds of one step of a task. */
		readonly tickMs: number,
	) {
		this.members = new MockMembers(nodeId);
	}

	newId(): string {
		this.serial += 1;
		const time = Date.now().toString(16).padStart(12, "0");
		return `${time.slice(0, 8)}-${time.slice(8, 12)}-7000-8000-${this.serial.toString(16).padStart(12, "0")}`;
	}

	metadata() {
		const now = new Date().toISOString();
		return { id: this.newId(), generation: 1, createdAt: now, updatedAt: now };
	}

	get lastEventId(): string {
		return `${this.index}.0`;
	}

	put<Kind extends MockKind>(kind: Kind, object: Objects[Kind]): Objects[Kind] {
		const table = this.tables[kind] as Map<string, Objects[Kind]>;
		const type = table.has(object.id) ? "updated" : "created";
		table.set(object.id, object);
		this.emit(type, kind, object.id, object);
		return object;
	}

	change<Kind extends MockKind>(kind: Kind, id: string, change: Partial<Objects[Kind]>): void {
		const table = this.tables[kind] as Map<string, Objects[Kind]>;
		const object = table.get(id);
		if (object) this.put(kind, { ...object, ...change, updatedAt: new Date().toISOString() });
	}

	remove(kind: MockKind, id: string): void {
		if (this.tables[kind].delete(id)) this.emit("deleted", kind, id, null);
	}

	emit(type: Event["type"], kind: ResourceKind, id: string, object: unknown): void {
		this.index += 1;
		const name = (object as { name?: string } | null)?.name ?? null;
		const event: Event = {
			id: this.lastEventId,
			time: new Date().toISOString(),
			type,
			target: { kind, id, name },
			object: structuredClone(object),
		};
		this.events.push(event);
		if (this.events.length > keptEvents) this.events.shift();
		for (const listener of this.listeners) listener(event);
	}

	refOf(kind: Exclude<MockKind, "task" | "session" | "joinToken">, id: string): ResourceRef {
		return { kind, id, name: this.tables[kind].get(id)?.name ?? null };
	}

	/** Starts a task that goes on by itself. */
	startTask(kind: TaskKind, targets: ResourceRef[], how: TaskSteps): Task {
		const now = new Date().toISOString();
		const task: Task = {
			id: this.newId(),
			kind,
			state: "pending",
			progress: null,
			message: null,
			targets,
			requester: { ...this.requester },
			nodeId: this.nodeId,
			parentId: null,
			createdAt: now,
			startedAt: null,
			finishedAt: null,
			cancelable: how.cancelable ?? false,
			cancelRequested: false,
			error: null,
			input: how.input ?? {},
		};
		this.put("task", task);
		this.later(() => this.step(task.id, 0, how));
		return task;
	}

	later(run: () => void, ticks = 1): void {
		const timer = setTimeout(() => {
			this.timers.delete(timer);
			if (this.held === null) run();
			else this.held.push(run);
		}, this.tickMs * ticks);
		this.timers.add(timer);
	}

	/** No task goes on, so that what a page shows of one meanwhile can be looked at, however slow the browser is. */
	hold(): void {
		this.held ??= [];
	}

	release(): void {
		const runs = this.held ?? [];
		this.held = null;
		for (const run of runs) this.later(run);
	}

	stop(): void {
		for (const timer of this.timers) clearTimeout(timer);
		this.timers.clear();
	}

	private step(id: string, step: number, how: TaskSteps): void {
		const task = this.tables.task.get(id);
		if (!task) return;
		const finish = (change: Partial<Task>) =>
			this.change("task", id, { finishedAt: new Date().toISOString(), message: null, ...change });
		if (task.cancelRequested) {
			finish({ state: "canceled" });
			how.onFailed?.("canceled");
			return;
		}
		if (step < how.steps) {
			this.change("task", id, {
				state: "running",
				startedAt: task.startedAt ?? new Date().toISOString(),
				progress: how.steps > 2 ? (step / how.steps) * 100 : null,
				message: how.messages?.[Math.min(step, how.messages.length - 1)] ?? null,
			});
			how.onStep?.(step);
			this.later(() => this.step(id, step + 1, how));
			return;
		}
		try {
			how.onDone?.();
			finish({ state: "succeeded", progress: 100, message: how.found?.() ?? null });
		} catch (error) {
			const message = error instanceof Error ? error.message : String(error);
			finish({ state: "failed", error: { code: "hypervisor", message } });
			how.onFailed?.(message);
		}
	}
}
