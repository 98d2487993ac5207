import { byId } from "./dom.js";

const dialog = byId("camera-dialog");
const video = byId("video");
let taken = () => {};

/** Opens the camera; `take` gets the photo as a file. Without a camera that pages may use, opens what the system has. */
export async function openCamera(take) {
  if (!navigator.mediaDevices?.getUserMedia) { // pages from another machine without https
    byId("photo").click();
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
  } catch (error) {
    const denied = error.name === "NotAllowedError";
    throw new Error(denied ? "The browser was not allowed to use the camera." : "No camera was found; choose an image.");
  }
  taken = take;
  video.srcObject = stream;
  dialog.showModal();
}

function takePhoto() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
    taken(new File([blob], `photo ${time}.jpg`, { type: "image/jpeg" }));
    dialog.close();
  }, "image/jpeg", 0.95);
}

byId("shutter").addEventListener("click", () => video.videoWidth && takePhoto());
byId("camera-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  for (const track of video.srcObject.getTracks()) track.stop();
  video.srcObject = null;
});
