/** Short messages to the user; components/toast.tsx shows them. Success goes by itself, failure stays until read. */
import { signal } from "@preact/signals";
import { type ApiError, errorDetails, toApiError } from "./errors.ts";

export type Toast = {
	id: number;
	tone: "success" | "failure";
	title: string;
	text: string | null;
	details: string | null;
};

const shownForMs = 4000;
const most = 5;
export const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

function add(toast: Omit<Toast, "id">): void {
	lastId += 1;
	const id = lastId;
	toasts.value = [...toasts.value, { ...toast, id }].slice(-most);
	if (toast.tone === "success") setTimeout(() => dismissToast(id), shownForMs);
}

export const dismissToast = (id: number): void => {
	toasts.value = toasts.value.filter((toast) => toast.id !== id);
};

export const toastSuccess = (title: string): void => add({ tone: "success", title, text: null, details: null });

/** `title` says what failed ("Start web-01"), the error says why. */
export function toastFailure(title: string, error: unknown): void {
	const known: ApiError = toApiError(error);
	const text = [known.message, ...known.fields.map(({ path, message }) => `${path}: ${message}`)].join("\n");
	add({ tone: "failure", title, text, details: `${title}\n${errorDetails(known)}` });
}

export function toastFailureText(title: string, text: string, details: string): void {
	add({ tone: "failure", title, text, details });
}
