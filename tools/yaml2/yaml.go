// Package yaml stands for go.yaml.in/yaml/v2, by the replace line in go.mod:
// exporter-toolkit, which gives our pages TLS and passwords, reads its file by it, and
// the reader of our own configuration is v3. Two of them are 0.2 MB more.
package yaml

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// UnmarshalStrict reads the first document; a key that out does not have, or that is
// there twice, is an error. None at all is none.
func UnmarshalStrict(in []byte, out any) error {
	d := yaml.NewDecoder(bytes.NewReader(in))
	d.KnownFields(true)
	if err := d.Decode(out); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// Marshal writes a document.
func Marshal(in any) ([]byte, error) { return yaml.Marshal(in) }
