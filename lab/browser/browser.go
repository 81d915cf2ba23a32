// Package browser drives a real browser, Chromium, on a host of the lab, to see
// what a person sees.
package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"golang.org/x/net/websocket"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

// Browser is a running Chromium with one page. It is used by one goroutine.
type Browser struct {
	*lab.Process
	lab  *lab.Lab
	t    lab.T
	conn *websocket.Conn
	next int
	said []string // what the console and the security policy complained of
}

const answerWithin = 30 * time.Second

// Installed says whether there is a Chromium: Debian's package.
func Installed() bool {
	_, err := exec.LookPath("chromium")
	return err == nil
}

// Start starts one on the host, and is its one page, empty.
func Start(l *lab.Lab, t lab.T, h *lab.Host) *Browser {
	t.Helper()
	port := h.Port(9222)
	b := &Browser{lab: l, t: t}
	b.Process = h.Prepare(lab.Command{Name: "chromium", Path: "chromium", Args: []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage", "--no-default-browser-check", "--hide-scrollbars",
		"--no-proxy-server", "--remote-allow-origins=*", fmt.Sprint("--remote-debugging-port=", port), "--user-data-dir=profile", "about:blank",
	}})
	b.Process.Restart()
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	l.Eventually("the browser has a page", time.Minute, func() error {
		url, err := pageOf(h, address)
		if err != nil {
			return err
		}
		return b.connect(h, address, url)
	})
	t.Cleanup(b.close)
	for _, method := range []string{"Page.enable", "Runtime.enable", "Log.enable"} {
		b.call(method, nil, nil)
	}
	return b
}

// pageOf asks a browser where its page is driven.
func pageOf(h *lab.Host, address string) (string, error) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + "/json/list")
	if err != nil {
		return "", fmt.Errorf("ask the browser: %w", err)
	}
	defer resp.Body.Close()
	var pages []struct {
		Type string `json:"type"`
		URL  string `json:"webSocketDebuggerUrl"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&pages); err != nil {
		return "", fmt.Errorf("ask the browser: %w", err)
	}
	for _, p := range pages {
		if p.Type == "page" {
			return p.URL, nil
		}
	}
	return "", fmt.Errorf("the browser has no page yet")
}

func (b *Browser) connect(h *lab.Host, address, url string) error {
	config, err := websocket.NewConfig(url, "http://"+address)
	if err != nil {
		return fmt.Errorf("drive the browser: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	raw, err := h.Dial(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("drive the browser: %w", err)
	}
	b.conn, err = websocket.NewClient(config, raw)
	if err != nil {
		return fmt.Errorf("drive the browser: %w", err)
	}
	b.conn.MaxPayloadBytes = 64 << 20
	return nil
}

// message is one of the DevTools protocol, either way.
type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params any             `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// call asks the browser and waits for its answer; events that come first are
// remembered if they are complaints.
func (b *Browser) call(method string, params, into any) {
	b.t.Helper()
	b.next++
	if err := b.conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		b.t.Fatalf("browser: %s: %v", method, err)
	}
	if err := websocket.JSON.Send(b.conn, message{ID: b.next, Method: method, Params: params}); err != nil {
		b.t.Fatalf("browser: %s: %v", method, err)
	}
	for {
		var m message
		if err := websocket.JSON.Receive(b.conn, &m); err != nil {
			b.t.Fatalf("browser: %s: %v", method, err)
		}
		switch {
		case m.Method == "Log.entryAdded" || m.Method == "Runtime.exceptionThrown":
			b.said = append(b.said, fmt.Sprint(m.Params))
		case m.ID != b.next:
		case m.Error != nil:
			b.t.Fatalf("browser: %s: %s", method, m.Error.Message)
		default:
			if into != nil {
				if err := json.Unmarshal(m.Result, into); err != nil {
					b.t.Fatalf("browser: %s: %v", method, err)
				}
			}
			return
		}
	}
}

// close asks it to end, with all of its processes; what does not is killed with
// the lab.
func (b *Browser) close() {
	if b.conn.SetDeadline(time.Now().Add(answerWithin)) == nil &&
		websocket.JSON.Send(b.conn, message{ID: b.next + 1, Method: "Browser.close"}) == nil {
		select {
		case <-b.Done():
		case <-time.After(10 * time.Second):
		}
	}
	_ = b.conn.Close() // it is gone, or will be
}

type object = map[string]any

// Open loads a page and waits for its load event's document to be there.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.call("Page.navigate", object{"url": url}, nil)
	b.lab.Eventually("the page is loaded", time.Minute, func() error {
		if state := b.Eval(`document.readyState + " " + location.href`); state != "complete "+url {
			return fmt.Errorf("it is %q", state)
		}
		return nil
	})
}

// Eval evaluates an expression whose value is a string.
func (b *Browser) Eval(expression string) string {
	b.t.Helper()
	var answer struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", object{"expression": expression, "returnByValue": true}, &answer)
	if answer.Exception != nil {
		b.t.Fatalf("browser: %s: %s", expression, answer.Exception.Text)
	}
	return fmt.Sprint(answer.Result.Value)
}

// Size sets the size of the window, in pixels as CSS counts them.
func (b *Browser) Size(width, height int, phone bool) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
}

// Dark is whether the person prefers dark pages.
func (b *Browser) Dark(dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call("Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Complaints are what the console and the security policy have said so far.
func (b *Browser) Complaints() []string {
	b.t.Helper()
	b.Eval(`""`) // takes in what has come
	return b.said
}

// Screenshot writes the whole page as PNG.
func (b *Browser) Screenshot(file string) {
	b.t.Helper()
	var picture struct {
		Data string `json:"data"`
	}
	b.call("Page.captureScreenshot", object{"format": "png", "captureBeyondViewport": true}, &picture)
	png, err := base64.StdEncoding.DecodeString(picture.Data)
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil {
		b.t.Fatalf("browser: write %s: %v", file, err)
	}
}
