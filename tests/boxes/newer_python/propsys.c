/* propsys.dll for python.exe 3.12 and newer: the one function that its _wmi.pyd calls, and that Wine 8 lacks. */
#define COBJMACROS
#include <windows.h>
#include <oleauto.h>

__declspec(dllexport) HRESULT WINAPI VariantToString(const VARIANT *value, WCHAR *text, UINT size)
{
    VARIANT changed;
    HRESULT done;

    VariantInit(&changed);
    done = VariantChangeType(&changed, (VARIANT *)value, VARIANT_ALPHABOOL, VT_BSTR);
    if (FAILED(done))
        return done;
    if (SysStringLen(V_BSTR(&changed)) < size)
        lstrcpyW(text, V_BSTR(&changed) ? V_BSTR(&changed) : L"");
    else
        done = HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER);
    VariantClear(&changed);
    return done;
}
