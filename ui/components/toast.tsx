/** Short messages in the corner: success goes by itself, failure stays until read and offers its details. */
import { signal } from "@preact/signals";
import { CircleAlert, CircleCheck, X } from "lucide-preact";
import { type ApiError, errorDetails, toApiError } from "../api/errors.ts";
import { common as t } from "../strings/common.ts";
import { errors } from "../strings/errors.ts";
import { IconButton } from "./button.tsx";
import { CopyButton } from "./copy.tsx";
import "./toast.css";

type Toast = { id: number; tone: "success" | "failure"; title: string; text: string | null; details: string | null };

const shownForMs = 4000;
const most = 5;
const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

function add(toast: Omit<Toast, "id">): void {
	lastId += 1;
	const id = lastId;
	toasts.value = [...toasts.value, { ...toast, id }].slice(-most);
	if (toast.tone === "success") setTimeout(() => dismiss(id), shownForMs);
}

const dismiss = (id: number): void => {
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

export function ToastHost() {
	return (
		<section class="toasts" aria-label={errors.notifications}>
			<div aria-live="polite">
				{toasts.value
					.filter(({ tone }) => tone === "success")
					.map((toast) => (
						<ToastItem key={toast.id} toast={toast} />
					))}
			</div>
			<div aria-live="assertive">
				{toasts.value
					.filter(({ tone }) => tone === "failure")
					.map((toast) => (
						<ToastItem key={toast.id} toast={toast} />
					))}
			</div>
		</section>
	);
}

function ToastItem({ toast }: { toast: Toast }) {
	const Mark = toast.tone === "success" ? CircleCheck : CircleAlert;
	return (
		<div class={`toast toast--${toast.tone}`}>
			<Mark class="toast__mark" size={16} aria-hidden="true" />
			<div class="toast__content">
				<strong>{toast.title}</strong>
				{toast.text && <p>{toast.text}</p>}
				{toast.details && <CopyButton text={toast.details} label={errors.copy} />}
			</div>
			<IconButton icon={X} label={t.dismiss} small onClick={() => dismiss(toast.id)} />
		</div>
	);
}
