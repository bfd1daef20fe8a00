/** Before the window closes or reloads the browser asks, while there is something that would be lost. */
import { useEffect } from "preact/hooks";

export function useUnloadGuard(unsaved: boolean): void {
	useEffect(() => {
		if (!unsaved) return;
		const ask = (event: BeforeUnloadEvent) => event.preventDefault();
		addEventListener("beforeunload", ask);
		return () => removeEventListener("beforeunload", ask);
	}, [unsaved]);
}
