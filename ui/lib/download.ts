/** Starts a download. An answer that is an error becomes a failed download, never a page of JSON. */
export function download(address: string): void {
	const link = document.createElement("a");
	link.href = address;
	link.download = "";
	link.click();
}
