/** A page that throws does not take the console with it: it says so, and the rest goes on working. */
import { Component, type ComponentChildren } from "preact";
import { type ApiError, errorDetails, toApiError } from "../api/errors.ts";
import { Button } from "../components/button.tsx";
import { CopyButton } from "../components/copy.tsx";
import { Notice } from "../components/layout.tsx";
import { errors as t } from "../strings/errors.ts";

type Props = { children: ComponentChildren; resetKey: string };
type State = { error: ApiError | null; key: string };

export class ErrorGuard extends Component<Props, State> {
	override state: State = { error: null, key: this.props.resetKey };

	static override getDerivedStateFromError(error: unknown): Partial<State> {
		return { error: toApiError(error) };
	}

	static override getDerivedStateFromProps(props: Props, state: State): Partial<State> | null {
		return props.resetKey === state.key ? null : { error: null, key: props.resetKey };
	}

	override componentDidCatch(error: unknown): void {
		console.error(error);
	}

	override render() {
		const { error } = this.state;
		if (!error) return this.props.children;
		const stack = error.cause instanceof Error ? (error.cause.stack ?? "") : "";
		return (
			<div class="page-skeleton">
				<Notice
					tone="error"
					alert
					title={t.crashed}
					actions={
						<>
							<Button small onClick={() => location.reload()}>
								{t.reload}
							</Button>
							<CopyButton text={() => `${errorDetails(error)}\n${stack}`} label={t.copy} />
						</>
					}
				>
					<p>{error.message}</p>
					<p>{t.crashedText}</p>
				</Notice>
			</div>
		);
	}
}
