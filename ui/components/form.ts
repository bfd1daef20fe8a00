/**
 * State of one form: values, which fields were touched, what is wrong with them (checked as one types, and by the
 * API's `errors[]`), and the submit. Fields are named by JSON pointers into the body ("/name", "/disks/0/sizeBytes"),
 * so that an error of the API lands under its field without a table.
 */
import { batch, computed, type Signal, signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { type ApiError, toApiError } from "../api/errors.ts";
import { writeObstacle } from "../api/staleness.ts";

export type FieldErrors = Record<string, string>;

export type FormOptions<Values> = {
	initial: Values;
	validate: (values: Values) => FieldErrors;
	/** Does the work; an ApiError it throws is shown in the form. */
	submit: (values: Values) => Promise<void>;
	/** From the API's pointer to the form's, where they differ. */
	fieldOf?: (path: string) => string;
};

export class Form<Values> {
	readonly values: Signal<Values>;
	readonly busy = signal(false);
	/** Why it cannot be sent now, whatever is in it. */
	readonly obstacle = computed(writeObstacle);
	/** What failed, apart from what is shown under a field. */
	readonly failure: Signal<ApiError | null> = signal(null);
	private readonly initial: string;
	private readonly touched = signal<ReadonlySet<string>>(new Set());
	private readonly tried = signal(false);
	private readonly serverErrors = signal<FieldErrors>({});
	private readonly shownFields = new Set<string>();
	readonly problems = computed<FieldErrors>(() => this.options.validate(this.values.value));
	readonly dirty = computed(() => JSON.stringify(this.values.value) !== this.initial);

	constructor(private options: FormOptions<Values>) {
		this.values = signal(options.initial);
		this.initial = JSON.stringify(options.initial);
	}

	/** Validation and submit may close over values that change between renders. */
	update(options: FormOptions<Values>): void {
		this.options = options;
	}

	/** Changes some values; the fields named become touched and lose what the API said of them. */
	set(change: Partial<Values>, ...fields: string[]): void {
		batch(() => {
			this.values.value = { ...this.values.peek(), ...change };
			const names = fields.length > 0 ? fields : Object.keys(change).map((key) => `/${key}`);
			this.touch(...names);
			const kept = Object.entries(this.serverErrors.peek()).filter(
				([path]) => !names.some((name) => path === name || path.startsWith(`${name}/`)),
			);
			this.serverErrors.value = Object.fromEntries(kept);
		});
	}

	touch(...fields: string[]): void {
		this.touched.value = new Set([...this.touched.peek(), ...fields]);
	}

	/** What to show under this field now. */
	error(field: string): string | null {
		this.shownFields.add(field);
		const fromServer = this.serverErrors.value[field];
		if (fromServer) return fromServer;
		if (!this.tried.value && !this.touched.value.has(field)) return null;
		return this.problems.value[field] ?? null;
	}

	/** Problems of fields that are not on the screen. */
	get otherErrors(): FieldErrors {
		const all = { ...(this.tried.value ? this.problems.value : {}), ...this.serverErrors.value };
		return Object.fromEntries(Object.entries(all).filter(([path]) => !this.shownFields.has(path)));
	}

	/** What the API said of it was of other values. */
	forget(): void {
		batch(() => {
			this.failure.value = null;
			this.serverErrors.value = {};
		});
	}

	/** As if nothing had been tried or typed yet: other fields are asked for now. */
	forgive(): void {
		batch(() => {
			this.forget();
			this.tried.value = false;
			this.touched.value = new Set();
		});
	}

	/** Marks what is wrong with these fields, and goes to the first of them; false when there is something. */
	check(isMeant: (field: string) => boolean): boolean {
		const wrong = Object.keys(this.problems.peek()).filter(isMeant);
		this.touch(...wrong);
		if (wrong.length > 0) focusFirstInvalid();
		return wrong.length === 0;
	}

	/** Puts what the API said of fields under them. */
	showFields(error: ApiError): void {
		const fieldOf = this.options.fieldOf ?? ((path: string) => path);
		this.serverErrors.value = Object.fromEntries(error.fields.map(({ path, message }) => [fieldOf(path), message]));
		focusFirstInvalid();
	}

	async submit(): Promise<boolean> {
		if (this.busy.peek() || this.obstacle.peek() !== null) return false;
		batch(() => {
			this.tried.value = true;
			this.failure.value = null;
		});
		if (Object.keys(this.problems.peek()).length > 0) {
			focusFirstInvalid();
			return false;
		}
		this.busy.value = true;
		try {
			await this.options.submit(this.values.peek());
			return true;
		} catch (error) {
			const known = toApiError(error);
			batch(() => {
				this.failure.value = known;
				this.showFields(known);
			});
			return false;
		} finally {
			this.busy.value = false;
		}
	}
}

export function useForm<Values>(options: FormOptions<Values>): Form<Values> {
	const [form] = useState(() => new Form(options));
	form.update(options);
	return form;
}

function focusFirstInvalid(): void {
	requestAnimationFrame(() => {
		const scope = document.querySelector("dialog[open]") ?? document;
		const field = scope.querySelector<HTMLElement>("[aria-invalid=true]");
		const closed = field?.closest<HTMLDetailsElement>("details:not([open])");
		if (closed) closed.open = true;
		field?.focus();
	});
}
