use super::*;

#[test]
fn an_address_becomes_a_place_and_hides_its_signature() {
    let url: Url =
        "https://b.s3.example:8443/a/key~1?X-Amz-Credential=AK%2F1&X-Amz-Signature=c4n4ry".parse().unwrap();
    let presigned = Presigned { uri: uri(&url).unwrap(), url: Secret::new(url.clone()) };
    assert_eq!(format!("{presigned:?}"), "Presigned(https://***@b.s3.example:8443/a/key~1)");
    let signature = presigned.uri().password().unwrap().unwrap();
    assert_eq!(Some(signature.expose()), url.query());
    assert_eq!(presigned.url().expose(), url.as_str());
    assert!(uri(&"https://b.s3.example/a".parse().unwrap()).is_err());
}
